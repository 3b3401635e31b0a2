"""How a pix2pix run validates its generator: a grid of fixed pairs, and their errors."""

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from limner.core.batch import Batch, to_images
from limner.core.config import require
from limner.core.image_grid import comparison_grid
from limner.core.images import Uint8Image
from limner.core.tasks.pix2pix.metrics import VALIDATION_METRICS, Measure
from limner.core.tasks.task import Validation
from limner.core.tasks.validation import run_generator
from limner.core.util.errors import UserError
from limner.core.util.log import log

GRID_ROWS = 8
"""Pairs on a sample grid."""


class PairValidator:
    """Validates a generator on the same pairs each time."""

    def __init__(self, pairs: Validation, device: torch.device, keep_best: str = "") -> None:
        """pairs: errors are measured on held-out ones only; device: of the generators to come.

        keep_best: a metric that the run needs. UserError if there are no held-out pairs to measure it on.
        """
        self._pairs = pairs
        self._device = device
        self._keep_best = keep_best
        without = f"keep-best {keep_best}: the data has no validation pairs; prepare it with a larger --val-fraction"
        require(pairs.held_out or not keep_best, without)

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
        """Compute the mean of each metric, in which all styles weigh the same; empty without held-out pairs."""
        if not self._pairs.held_out:
            return {}
        values: dict[str, list[Tensor]] = {name: [] for name in self._measures}
        for batch in self._pairs.batches:
            assert batch.sketch is not None
            generated = self._generate(generators, batch)
            for name, measure in self._measures.items():
                values[name].append(measure(generated, batch.sketch))
        styles = torch.cat([batch.style for batch in self._pairs.batches])
        return {name: _mean_of_styles(torch.cat(parts), styles) for name, parts in values.items()}

    @cached_property
    def _measures(self) -> dict[str, Measure]:
        """The metrics that this machine can compute; the others are left out with a line, or refused if needed."""
        measures = {}
        for name, metric in VALIDATION_METRICS.items():
            try:
                measures[name] = metric.open(self._device)
            except UserError as error:
                if name == self._keep_best:
                    raise
                log.info(f"{name} is left out: {error}")
        return measures

    def _generate(self, generators: Mapping[str, nn.Module], batch: Batch) -> Tensor:
        return run_generator(generators["generator"], batch.photo.to(self._device), batch.style.to(self._device))


def _mean_of_styles(values: Tensor, styles: Tensor) -> float:
    """The mean over the styles of the mean over each one's values."""
    return float(
        torch.stack([values[styles == style].double().mean() for style in sorted(set(styles.tolist()))]).mean()
    )
