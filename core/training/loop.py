"""The training loop as a table of contents: batch, step, is a report, sample, evaluation or save due."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from limner.core.batch import Batch
from limner.core.bundle import BundleConfig, save_bundle
from limner.core.config import TrainConfig, to_dict
from limner.core.image_grid import save_png
from limner.core.images import Uint8Image
from limner.core.networks.unet import for_inference
from limner.core.training.checkpoint import save_checkpoint
from limner.core.training.schedule import due, learning_rate
from limner.core.training.state import TrainingState
from limner.core.training.stats import Accumulator, RunWriter
from limner.core.util.errors import LimnerError


@dataclass(frozen=True)
class Progress:
    """Where a run is, for whoever shows it."""

    seen_images: int
    total_images: int
    epoch: float
    values: dict[str, float] = field(default_factory=dict)


class Context(Protocol):
    """This worker among the others; implemented in distributed/context.py."""

    rank: int
    world: int
    device: torch.device

    def stop_requested(self) -> bool:
        """Whether someone asked the job to stop; the same answer on every rank at the same step."""

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a vector over the ranks."""

    def minimum(self, value: Tensor) -> Tensor:
        """Smallest of a scalar over the ranks."""

    def gather(self, value: Any) -> list[Any]:
        """`value` of every rank, by rank; on every rank."""

    def post(self, progress: Progress) -> None:
        """Show progress; from rank 0."""


class Watcher(Protocol):
    """How a task looks at its generator from outside; called on rank 0."""

    def samples(self, generator: nn.Module) -> Uint8Image:
        """A sheet of the same fixed cases each time."""

    def evaluate(self, generator: nn.Module, seen_images: int) -> dict[str, float]:
        """Validation figures by name; empty if there is nothing to measure on. LimnerError to stop the run."""

    score: str
    """Name of the figure that picks the best checkpoint, lower is better."""


@dataclass(frozen=True)
class Extent:
    """How far a run goes, in images."""

    epoch_images: int
    step_images: int
    total_images: int


class Loop:
    """One worker's run from where `state` is to the end, or to a request to stop."""

    def __init__(
        self,
        config: TrainConfig,
        extent: Extent,
        run: Path,
        bundle: BundleConfig,
        state: TrainingState,
        watcher: Watcher,
        context: Context,
    ) -> None:
        self.config = config
        self.extent = extent
        self.run = run
        self.bundle = bundle
        self.state = state
        self.watcher = watcher
        self.context = context
        self.writer = RunWriter(run, state.seen_images) if context.rank == 0 else None
        if self.writer is not None and state.seen_images == 0:
            self.writer.hyper_parameters(to_dict(config))
        self._stats = Accumulator()
        self._since = time.perf_counter()
        self._reported_images = state.seen_images
        self._waited = 0.0

    def train(self, loader: Iterator[Batch], after_save: Callable[[], None] | None) -> bool:
        """Learn until the end; True if it was reached, False if a stop was requested and the state is saved.

        after_save: called on rank 0 when a checkpoint is complete on disk.
        """
        state, cadence, extent = self.state, self.config.cadence, self.extent
        while state.seen_images < extent.total_images:
            before, after = state.seen_images, state.seen_images + extent.step_images
            batches = self._next_batches(loader)
            lr = learning_rate(self.config.optimizer, before, extent.epoch_images, self.config.epochs)
            self._stats.add(state.step(batches, after, extent.step_images, lr))
            state.seen_images = after
            stopping = self.context.stop_requested()
            epoch_ended = due(before, after, extent.epoch_images)
            saving = stopping or epoch_ended or due(before, after, cadence.save_images)
            figures: dict[str, float] = {}
            if epoch_ended:
                figures = self._look(after // extent.epoch_images)
            if saving or due(before, after, cadence.report_images):
                self._report({"lr": lr, **figures})
            if saving:
                self._save(figures.get(self.watcher.score))
                if after_save is not None:
                    after_save()
            if stopping:
                return state.seen_images >= extent.total_images
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

    def _report(self, figures: dict[str, float]) -> None:
        """Read the sums of the device, which waits for it, and write them; stop the run if they are not finite."""
        names, means = self._stats.drain()
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
            **figures,
        }
        self._since, self._reported_images, self._waited = time.perf_counter(), self.state.seen_images, 0.0
        if self.writer is not None:
            self.writer.scalars(values, self.state.seen_images)
        self._post(values)

    def _post(self, values: dict[str, float]) -> None:
        if self.context.rank == 0:
            epoch = self.state.seen_images / self.extent.epoch_images
            self.context.post(Progress(self.state.seen_images, self.extent.total_images, epoch, values))

    def _look(self, epoch: int) -> dict[str, float]:
        """Sample sheet and validation figures at the end of an epoch; on rank 0."""
        if self.writer is None:
            return {}
        generator = self._averaged_generator()
        if epoch % self.config.cadence.sample_epochs == 0 or self.state.seen_images >= self.extent.total_images:
            sheet = self.watcher.samples(generator)
            save_png(self.run / "samples" / f"epoch_{epoch:04d}.png", sheet)
            self.writer.image("samples", sheet, self.state.seen_images)
        return self.watcher.evaluate(generator, self.state.seen_images)

    def _save(self, score: float | None) -> None:
        rng_states = self.context.gather(self.state.rng_state())
        if self.writer is None:
            return
        self.writer.flush()
        state, keep = self.state.state_dict(rng_states), self.config.cadence.keep_checkpoints
        # The bundle first: a crash between the two is mended by the run going on, as it is not committed yet.
        save_bundle(self.run / "model", self._averaged_generator(), self.bundle)
        save_checkpoint(self.run / "checkpoints", state, self.state.seen_images, score, keep)

    def _averaged_generator(self) -> nn.Module:
        step = self.state.step
        return for_inference(step.ema.network if step.ema is not None else step.generator.network)
