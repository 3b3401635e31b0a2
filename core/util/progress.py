"""Progress of long work that is not training: a bar on a terminal, plain lines in a log."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track as track_on_terminal

T = TypeVar("T")


def track(things: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The same things, with a progress bar on a terminal and a line at each tenth of the way in a log."""
    console = Console()
    if console.is_terminal:
        yield from track_on_terminal(things, what, total=total, console=console)
        return
    for count, thing in enumerate(things, 1):
        yield thing
        if count * 10 // total > (count - 1) * 10 // total:
            print(f"{what}: {count} of {total}", flush=True)
