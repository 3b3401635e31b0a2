"""The command line of every script: a dataclass in, its value out, and one clear line where the flags are wrong."""

import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, TypeVar, overload
from unittest.mock import patch

import tyro

from limner.core.util.errors import UserError

T = TypeVar("T")


@overload
def parse(kind: type[T], args: Sequence[str] | None = None, default: T | None = None) -> T: ...


@overload
def parse(kind: object, args: Sequence[str] | None = None, default: Any = None) -> Any: ...


def parse(kind: Any, args: Sequence[str] | None = None, default: Any = None) -> Any:
    """The value of the dataclass `kind` (or of a union of them, one subcommand each) that `args` describe.

    args: without the program's name; None: those of this process.
    default: a value whose fields stand where `args` are silent; its type is one of `kind`.
    Raises UserError, one line, for arguments that do not fit, where tyro by itself prints a box of many; a UserError of
    the dataclass's own checks passes through. `--help` prints the help and exits 0.
    """
    given = list(sys.argv[1:] if args is None else args)
    options = {} if default is None else {"default": default}
    if not {"-h", "--help"}.isdisjoint(given):
        return tyro.cli(kind, args=given, **options)
    said = io.StringIO()  # no terminal: neither colours nor box-drawing characters, and no width to break lines to
    try:
        with redirect_stdout(said), redirect_stderr(said), patch.dict(os.environ, COLUMNS="100000"):
            value = tyro.cli(kind, args=given, **options)
    except SystemExit as end:
        if end.code:
            raise UserError(_one_line(said.getvalue())) from None
        sys.stdout.write(said.getvalue())
        raise
    sys.stderr.write(said.getvalue())
    return value


def _one_line(report: str) -> str:
    """What tyro's error report says under its title, without the copies of the help text."""
    paragraphs: list[list[str]] = [[]]
    for row in map(str.strip, report.splitlines()[1:]):
        if row and set(row) == {"-"}:
            paragraphs.append([])
        elif row:
            paragraphs[-1].append(row)
    said = []
    for first, *rest in filter(None, paragraphs):
        if first.startswith("Perhaps you meant"):
            options = dict.fromkeys(row.split()[0] for row in rest if row.startswith("--"))
            said.append(f"perhaps you meant {' or '.join(options)}")
        elif first.startswith("For full helptext"):
            command = rest[0] if rest else first.split(maxsplit=4)[-1]
            said.append(f"see {command}")
        elif not first.startswith("Argument helptext"):
            said.append(" ".join([first, *rest]).removesuffix("."))
    return "; ".join(said)
