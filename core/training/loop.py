"""The training loop as a table of contents: batch, step, is a report, grid, validation or save due."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from limner.core.batch import Batch
from limner.core.bundle import save_bundle
from limner.core.config import TrainConfig, to_dict
from limner.core.image_grid import save_png
from limner.core.networks.generator import Generator
from limner.core.networks.generators import inference_twin
from limner.core.training.checkpoint import save_checkpoint
from limner.core.training.model import Model
from limner.core.training.schedule import due, learning_rate
from limner.core.training.state import TrainingState
from limner.core.training.stats import Accumulator, RunWriter
from limner.core.util.errors import LimnerError


@dataclass(frozen=True)
class Progress:
    """How far a run is, for whoever displays it."""

    seen_images: int
    total_images: int
    epoch: float
    values: dict[str, float] = field(default_factory=dict)


Score = Callable[[Mapping[str, float]], float | None]
"""Of a validation's metrics: lower is better; None if the metric was not measured."""


class Context(Protocol):
    """This worker among the others; implemented in distributed/context.py."""

    rank: int
    world_size: int
    device: torch.device

    def stop_requested(self) -> bool:
        """Whether someone asked the job to stop; the same answer on every rank at the same step."""

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a vector over the ranks."""

    def minimum(self, value: Tensor) -> Tensor:
        """Smallest of a scalar over the ranks."""

    def gather(self, value: Any) -> list[Any]:
        """`value` of every rank, by rank; on every rank."""

    def report_progress(self, progress: Progress) -> None:
        """Display progress; from rank 0."""


@dataclass(frozen=True)
class RunLength:
    """How long a run is, in images."""

    epoch_images: int
    step_images: int
    total_images: int


class Loop:
    """One worker's run from where `state` is to the end, or to a request to stop."""

    def __init__(
        self,
        config: TrainConfig,
        length: RunLength,
        run: Path,
        model: Model,
        state: TrainingState,
        context: Context,
        score: Score,
    ) -> None:
        """score: what makes a checkpoint the best."""
        self.config = config
        self.length = length
        self.run = run
        self.model = model
        self.state = state
        self.context = context
        self.score = score
        self.writer = RunWriter(run, state.seen_images) if context.rank == 0 else None
        if self.writer is not None and state.seen_images == 0:
            self.writer.log_hparams(to_dict(config))
        self._stats = Accumulator()
        self._since = time.perf_counter()
        self._reported_images = state.seen_images
        self._waited = 0.0

    def train(self, loader: Iterator[Batch], after_save: Callable[[], None] | None) -> bool:
        """Learn until the end; True if it was reached, False if a stop was requested and the state is saved.

        after_save: called on rank 0 when a checkpoint is complete on disk.
        """
        state, cadence, length = self.state, self.config.cadence, self.length
        self._report_progress({})
        while state.seen_images < length.total_images:
            before, after = state.seen_images, state.seen_images + length.step_images
            batches = self._next_batches(loader)
            lr = learning_rate(self.config.optimizer, before, length.epoch_images, self.config.epochs)
            self._stats.add(state.step(batches, after, length.step_images, lr))
            state.seen_images = after
            stopping = self.context.stop_requested()
            epoch_ended = due(before, after, length.epoch_images)
            saving = stopping or epoch_ended or due(before, after, cadence.save_images)
            metrics: dict[str, float] = {}
            if epoch_ended:
                metrics = self._validate(after // length.epoch_images)
            if saving or due(before, after, cadence.report_images):
                self._report({"lr": lr, **metrics})
            if saving:
                self._save(self.score(metrics))
                if after_save is not None:
                    after_save()
            if stopping:
                return state.seen_images >= length.total_images
        return True

    def close(self) -> None:
        """Flush and close what the run writes."""
        if self.writer is not None:
            self.writer.close()

    def _next_batches(self, loader: Iterator[Batch]) -> list[Batch]:
        start = time.perf_counter()
        batches = [next(loader) for _ in range(self.config.accumulate)]
        self._waited += time.perf_counter() - start
        return batches

    def _report(self, metrics: dict[str, float]) -> None:
        """Read the sums of the device, which waits for it, and log them; stop the run if they are not finite."""
        names, means = self._stats.pop_means()
        means = self.context.mean(means)
        first_bad = float(self.context.minimum(self.state.step.first_non_finite()))
        if first_bad != float("inf"):
            raise LimnerError(
                f"a loss or gradient was not finite at image {int(first_bad)}: the checkpoints before it are intact; "
                "lower --optimizer.lr, or try --precision fp32"
            )
        seconds = time.perf_counter() - self._since
        images = self.state.seen_images - self._reported_images
        values = dict(zip(names, means.tolist(), strict=True)) | {
            "images_per_s": images / seconds,
            "data_wait_fraction": self._waited / seconds,
            **metrics,
        }
        self._since, self._reported_images, self._waited = time.perf_counter(), self.state.seen_images, 0.0
        if self.writer is not None:
            self.writer.log_scalars(values, self.state.seen_images)
        self._report_progress(values)

    def _report_progress(self, values: dict[str, float]) -> None:
        if self.context.rank == 0:
            epoch = self.state.seen_images / self.length.epoch_images
            self.context.report_progress(Progress(self.state.seen_images, self.length.total_images, epoch, values))

    def _validate(self, epoch: int) -> dict[str, float]:
        """Write the sample grid and compute the metrics at the end of an epoch; on rank 0."""
        if self.writer is None:
            return {}
        generators = self._averaged_generators()
        if epoch % self.config.cadence.sample_epochs == 0 or self.state.seen_images >= self.length.total_images:
            grid = self.model.validator.sample_grid(generators)
            save_png(self.run / "samples" / f"epoch_{epoch:04d}.png", grid)
            self.writer.log_image("samples", grid, self.state.seen_images)
        return self.model.validator.evaluate(generators, self.state.seen_images)

    def _save(self, score: float | None) -> None:
        rng_states = self.context.gather(self.state.rng_state())
        if self.writer is None:
            return
        self.writer.flush()
        state, keep = self.state.state_dict(rng_states), self.config.cadence.keep_checkpoints
        # The bundles first: after a crash between the two the run resumes before them and writes them again.
        generators = self._averaged_generators()
        for directory, (name, config) in self.model.bundles.items():
            save_bundle(self.run / directory, generators[name], config)
        save_checkpoint(self.run / "checkpoints", state, self.state.seen_images, score, keep)

    def _averaged_generators(self) -> dict[str, nn.Module]:
        """The generators that are bundled, by name: averaged where the run averages, as they are for inference."""
        step, names = self.state.step, [name for name, _ in self.model.bundles.values()]
        trained = {name: step.networks[name].network for name in names}
        averaged = trained | {name: step.averages[name].network for name in names if name in step.averages}
        size = self.config.image_size
        return {name: inference_twin(cast(Generator, network), size) for name, network in averaged.items()}
