"""Wording of messages to users."""

import shutil
import textwrap
from collections.abc import Iterable
from difflib import get_close_matches

MAX_NAME_COLUMNS = 32
"""Columns for the left side of a list at most; a longer name has a line to itself."""


def count_of(number: int, noun: str) -> str:
    """Write a number with its noun, a regular one in the singular: "1 image", "2 images"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """`: did you mean WORD?` for the nearest of the allowed words; empty if none is near."""
    near = get_close_matches(word, list(allowed), n=1)
    return f": did you mean {near[0]}?" if near else ""


def two_columns(rows: Iterable[tuple[str, str]]) -> str:
    """Names and their descriptions side by side, wrapped to the terminal's width."""
    rows = list(rows)
    left = min(MAX_NAME_COLUMNS, max((len(name) for name, _ in rows), default=0) + 4)
    lines = []
    for name, description in rows:
        width = max(20, shutil.get_terminal_size().columns - left)
        first, *more = textwrap.wrap(description, width) or [""]
        head = f"  {name}".ljust(left)
        lines += [head + first] if len(head) == left else [head, " " * left + first]
        lines += [" " * left + line for line in more]
    return "\n".join(line.rstrip() for line in lines)


def duration(seconds: float) -> str:
    """A length of time to two units at most: 12 s, 3 min, 2 h 5 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
