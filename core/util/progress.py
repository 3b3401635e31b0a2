"""Progress of long work: a bar on a terminal; in a log a line at once, then one now and then, and the last."""

import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from limner.core.util.log import log, shown_on
from limner.core.util.text import duration

T = TypeVar("T")

FIRST_SECONDS, LINE_SECONDS = 3.0, 10.0
"""Least time from the line at the start to the next, and from one line to another after that."""
BAR_WIDTH = 12


class ProgressDisplay:
    """Shows how far work has come while it is entered, where the log is shown.

    A line has the count, the time left at the mean speed since the start, and as many notes as fit.
    """

    def __init__(self, unit: str = "") -> None:
        """unit: what is counted, in the plural."""
        self._unit = f" {unit}" if unit else ""
        self._stream = shown_on()
        self._bar = _make_bar(self._stream)
        self._started: tuple[float, int] | None = None
        self._last_line = 0.0
        self._lines = 0

    def __enter__(self) -> "ProgressDisplay":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int, what: str, notes: Sequence[str] = ()) -> None:
        """Show that `done` of `total` are done.

        The first call is the start, done or not; after a smaller `done` than before, as a rollback gives, the clock
        starts over.
        """
        now = time.monotonic()
        if self._started is None or done < self._started[1]:
            self._started = (now, done)
        time_left = self._time_left(now, done, total)
        if self._bar is not None:
            status = f"{done}/{total}{self._unit}{time_left}"
            room = self._bar.console.width - len(what) - BAR_WIDTH - len(status) - 2
            for note in notes:
                room -= len(note) + 2
                status += f"  {note}" if room >= 0 else ""
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, description=what, status=status)
        elif self._stream is not None and self._is_due(now, done, total):
            self._last_line, self._lines = now, self._lines + 1
            log.info("  ".join([f"{what}: {done} of {total}{self._unit}{time_left}", *notes]))

    def _is_due(self, now: float, done: int, total: int) -> bool:
        least = (0.0, FIRST_SECONDS, LINE_SECONDS)[min(self._lines, 2)]
        return done >= total or now - self._last_line >= least

    def _time_left(self, now: float, done: int, total: int) -> str:
        assert self._started is not None
        since, first = self._started
        if done == first:
            return ""
        if done >= total:
            return f", took {duration(now - since)}"
        return f", {duration((now - since) / (done - first) * (total - done))} left"


def _make_bar(stream: TextIO | None) -> Progress | None:
    """rich's bar with one task, where `stream` is a terminal."""
    if stream is None or not stream.isatty():
        return None
    console = Console(file=stream)
    if console.is_dumb_terminal:
        return None
    status = TextColumn("{task.fields[status]}", markup=False)
    bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(BAR_WIDTH), status, console=console)
    bar.add_task("", total=None, status="")
    return bar


def track(things: Iterable[T], total: int, what: str, batch_size: int = 1) -> Iterator[T]:
    """The same things, with their progress shown.

    batch_size: how many come at once, so that the time left is estimated from whole batches.
    """
    with ProgressDisplay() as display:
        display.update(0, total, what)
        for count, thing in enumerate(things, 1):
            yield thing
            if count % batch_size == 0 or count == total:
                display.update(count, total, what)
