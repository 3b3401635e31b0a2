"""Progress for people: a bar on a terminal, plain lines in a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Eta

from limner.core.training.loop import Progress as RunProgress
from limner.core.util.log import show_log

LINE_SECONDS = 10.0
"""Least time between two progress lines where there is no terminal."""


class Display:
    """Shows a run's progress and its log lines while it is entered."""

    def __init__(self) -> None:
        self._console = Console()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeElapsedColumn(),
            TextColumn("left"),
            Eta(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._started: tuple[float, int] | None = None
        self._said = 0.0

    def __enter__(self) -> "Display":
        show_log()  # in a process of its own, as a spawned worker's, nobody has
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, progress: RunProgress) -> None:
        """Take in where the run is now."""
        figures = "  ".join(
            f"{label} {progress.values[name]:{style}}"
            for label, name, style in (
                ("L1", "loss/l1", ".3f"),
                ("D", "loss/discriminator", ".3f"),
                ("G", "loss/generator", ".2f"),
                ("images/s", "images_per_s", ".1f"),
            )
            if name in progress.values
        )
        now = time.monotonic()
        if self._started is None or progress.seen_images < self._started[1]:  # the latter after a rollback
            self._started = (now, progress.seen_images)
        if self._console.is_terminal:
            if self._task is None:
                self._task = self._bar.add_task("", total=progress.total_images, figures="")
            description = f"epoch {progress.epoch:.1f}"
            self._bar.update(self._task, completed=progress.seen_images, description=description, figures=figures)
        elif now - self._said >= LINE_SECONDS or progress.seen_images >= progress.total_images:
            self._said = now
            left = self._seconds_left(progress, now)
            print(
                f"epoch {progress.epoch:.1f}  {progress.seen_images}/{progress.total_images} images  {figures}{left}",
                flush=True,
            )

    def _seconds_left(self, progress: RunProgress, now: float) -> str:
        assert self._started is not None
        since, first = self._started
        done = progress.seen_images - first
        if done == 0 or progress.seen_images >= progress.total_images:
            return ""
        return f"  about {(now - since) / done * (progress.total_images - progress.seen_images):.0f} s left"
