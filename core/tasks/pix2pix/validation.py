"""How a pix2pix run looks at its generator: fixed validation pairs as a sheet, and their error."""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from limner.core.batch import Batch, to_images
from limner.core.image_grid import comparison_sheet
from limner.core.images import Uint8Image


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """`network` in eval mode without gradients, and then as it was."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)


class PairWatcher:
    """Judges a generator on the same validation pairs each time."""

    score = "validation/l1"

    def __init__(self, batches: Sequence[Batch], device: torch.device, shown: int, measured: bool) -> None:
        """batches: pairs without augmentation; shown: how many of the first stand on the sheet.

        measured: whether they are validation pairs, on which an error may be measured.
        """
        self._batches = batches
        self._measured = measured
        self._device = device
        self._shown = shown

    def samples(self, generator: nn.Module) -> Uint8Image:
        """Rows of photo | generated | real."""
        columns: dict[str, list[Uint8Image]] = {"photo": [], "generated": [], "real": []}
        for batch in self._batches:
            assert batch.sketch is not None
            if len(columns["photo"]) >= self._shown:
                break
            columns["photo"].extend(to_images(batch.photo))
            columns["generated"].extend(to_images(self._generate(generator, batch)))
            columns["real"].extend(to_images(batch.sketch))
        return comparison_sheet({name: images[: self._shown] for name, images in columns.items()})

    def evaluate(self, generator: nn.Module, seen_images: int) -> dict[str, float]:
        """Mean absolute error of the sketches as a fraction of full range; empty without validation pairs."""
        total, count = 0.0, 0
        for batch in self._batches if self._measured else ():
            assert batch.sketch is not None
            error = (self._generate(generator, batch) - batch.sketch).abs().mean(dim=(1, 2, 3)) / 2.0
            total, count = total + float(error.sum()), count + len(batch)
        return {self.score: total / count} if count else {}

    def _generate(self, generator: nn.Module, batch: Batch) -> Tensor:
        with evaluating(generator):
            fake: Tensor = generator(batch.photo.to(self._device), batch.style.to(self._device))
        return fake.float().cpu()
