"""The command line of every verb: a dataclass in, its value out, and one clear line for arguments that do not fit.

tyro parses; it reports what is wrong as a printed box, so the line is found here from the options themselves.
"""

import io
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import MISSING
from pathlib import Path
from typing import Any, TypeVar, overload

import tyro

from limner.core.util.errors import UserError
from limner.core.util.options import Option, choose_kinds, options_of
from limner.core.util.text import did_you_mean

T = TypeVar("T")

HELP, HELP_ALL = ("-h", "--help"), "--help-all"


@overload
def parse(
    command: type[T],
    args: Sequence[str] | None = None,
    default: T | None = None,
    prog: str | None = None,
) -> T: ...


@overload
def parse(command: object, args: Sequence[str] | None = None, default: Any = None, prog: str | None = None) -> Any: ...


def parse(command: Any, args: Sequence[str] | None = None, default: Any = None, prog: str | None = None) -> Any:
    """The value of the dataclass `command` that `args` describe.

    args: without the program's name; None: those of this process.
    default: a value whose fields hold where `args` are silent.
    prog: the program in help and errors, such as "limner train"; None: the file that runs.
    Raises UserError, one line, for arguments that do not fit; a UserError of the dataclass's own checks passes through.
    `--help` prints the help and exits 0.
    """
    given = list(sys.argv[1:] if args is None else args)
    name = prog or Path(sys.argv[0]).name
    default = None if default is None else choose_kinds(default, given)
    options: dict[str, Any] = {"config": (tyro.conf.AvoidSubcommands,)}
    options |= {} if default is None else {"default": default}
    if wants_help(given):
        return tyro.cli(command, args=["--help"], prog=name, **options)
    messages = io.StringIO()
    try:
        with redirect_stderr(messages):
            value = tyro.cli(command, args=given, prog=name, console_outputs=False, **options)
    except SystemExit:
        problem = find_problem(list(options_of(command, default)), given)
        raise UserError(f"{problem or 'the arguments do not fit'} (see {name} --help)") from None
    sys.stderr.write(messages.getvalue())
    return value


def wants_help(args: Sequence[str]) -> bool:
    """Whether the user asks for help, be the rest right or wrong."""
    return any(option in args for option in (*HELP, HELP_ALL))


def find_problem(options: Sequence[Option], args: Sequence[str]) -> str | None:
    """The first thing that is wrong in a command line, or None."""
    named = {option.name: option for option in options if not option.positional}
    named |= {option.opposite: option for option in named.values() if option.kind is bool}
    positional = deque(option for option in options if option.positional)
    words, given = deque(args), set()
    while words:
        if words[0].startswith("--"):
            typed, equals, value = words.popleft().partition("=")
            name = typed.replace("_", "-")
            if name not in named:
                return f"unknown option {typed}{did_you_mean(name, named)}"
            option, values = named[name], [value] if equals else []
        elif positional:
            option, values = positional.popleft(), []
            name = option.name
        else:
            return f"unexpected argument {words[0]!r}"
        while words and not _is_flag(words[0]) and len(values) != option.count():
            values.append(words.popleft())
        given.add(option.name)
        if problem := option.problem(values):
            return f"{' '.join([name, *values])}: {problem}"
    missing = [option for option in options if option.default is MISSING and option.name not in given]
    if missing:
        return f"missing {', '.join(map(_with_description, missing))}"
    return None


def _with_description(option: Option) -> str:
    return f"{option.usage} ({option.description})" if option.description else option.usage


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word[1:2] not in ("", ".", *"0123456789")
