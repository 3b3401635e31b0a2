"""How a pix2pix run validates its generator: a grid of fixed pairs, and their error."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from limner.core.batch import Batch, to_images
from limner.core.image_grid import comparison_grid
from limner.core.images import Uint8Image
from limner.core.tasks.task import Validation
from limner.core.tasks.validation import run_generator

GRID_ROWS = 8
"""Pairs on a sample grid."""


class PairValidator:
    """Validates a generator on the same pairs each time."""

    score = "validation/l1"

    def __init__(self, pairs: Validation, device: torch.device) -> None:
        """pairs: an error is measured on held-out ones only; device: of the generators to come."""
        self._pairs = pairs
        self._device = device

    def sample_grid(self, generators: Mapping[str, nn.Module]) -> Uint8Image:
        """Make a grid with rows of photo | generated | real, (H, W, 3) uint8."""
        columns: dict[str, list[Uint8Image]] = {"photo": [], "generated": [], "real": []}
        for batch in self._pairs.batches:
            assert batch.sketch is not None
            if len(columns["photo"]) >= GRID_ROWS:
                break
            columns["photo"].extend(to_images(batch.photo))
            columns["generated"].extend(to_images(self._generate(generators, batch)))
            columns["real"].extend(to_images(batch.sketch))
        return comparison_grid({name: images[:GRID_ROWS] for name, images in columns.items()})

    def evaluate(self, generators: Mapping[str, nn.Module], seen_images: int) -> dict[str, float]:
        """Compute the mean absolute error as a fraction of full range; empty without held-out pairs."""
        total, count = 0.0, 0
        for batch in self._pairs.batches if self._pairs.held_out else ():
            assert batch.sketch is not None
            error = (self._generate(generators, batch) - batch.sketch).abs().mean(dim=(1, 2, 3)) / 2.0
            total, count = total + float(error.sum()), count + len(batch)
        return {self.score: total / count} if count else {}

    def _generate(self, generators: Mapping[str, nn.Module], batch: Batch) -> Tensor:
        return run_generator(generators["generator"], batch.photo.to(self._device), batch.style.to(self._device))
