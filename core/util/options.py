"""The options that a dataclass gives a command: name, type, default and description of each, and what fits its type."""

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from limner.core.util.errors import UserError

NAMES: dict[Any, tuple[str, str]] = {
    int: ("INT", "a whole number"),
    float: ("FLOAT", "a number"),
    str: ("TEXT", "text"),
    Path: ("PATH", "a path"),
    NoneType: ("None", "None"),
}
"""How a type is written in help, and in an error."""


@dataclass(frozen=True)
class Option:
    """One option of a command, or one of its positional arguments."""

    name: str
    """As on the command line: --generator.width; without dashes for a positional argument."""
    kind: Any
    """Its type, without annotations."""
    default: Any
    """MISSING if it is required."""
    description: str
    positional: bool = False
    value: str | None = None
    """What help calls its value in place of its type, from tyro.conf.arg(metavar=...)."""

    @property
    def usage(self) -> str:
        """The option as a user writes it, such as `--epochs INT` or `--norm batch|instance`."""
        value = self.value or metavar(self.kind)
        return value if self.positional else f"{self.name} {value}".rstrip()

    @property
    def description_with_default(self) -> str:
        """The description and, unless it says nothing, the default."""
        silent = self.default is MISSING or self.default is None or self.default is False or self.default in ("", ())
        return self.description if silent else f"{self.description} (default: {self.default})".lstrip()

    @property
    def opposite(self) -> str:
        """The flag that switches this one off: --no-compile, --augment.no-flip."""
        group, dot, name = self.name[2:].rpartition(".")
        return f"--{group}{dot}no-{name}"

    def count(self) -> int | None:
        """The number of its values; None: any."""
        if get_origin(self.kind) is tuple:
            return None if Ellipsis in get_args(self.kind) else len(get_args(self.kind))
        return 0 if self.kind is bool else 1

    def problem(self, values: Sequence[str]) -> str | None:
        """What is wrong with the values as they were typed, or None."""
        count = self.count()
        if len(values) < (1 if count is None and not self.positional else count or 0):
            return f"needs {'a value' if count in (None, 1) else f'{count} values'}: give {self.usage}"
        if get_origin(self.kind) is not tuple:
            return None if all(fits(self.kind, value) for value in values) else f"must be {describe(self.kind)}"
        kinds = [kind for kind in get_args(self.kind) if kind is not Ellipsis]
        kinds = kinds * len(values) if count is None else kinds
        wrong = next((kind for kind, value in zip(kinds, values, strict=False) if not fits(kind, value)), None)
        return None if wrong is None else f"each must be {describe(wrong)}"


def options_of(command: type, default: Any = None, prefix: str = "") -> Iterator[Option]:
    """The options of a dataclass, those of dataclasses within it by dotted names.

    default: a value of it, whose fields are the defaults in place of the class's own.
    """
    command = get_origin(command) or command
    hints = get_type_hints(command, include_extras=True)
    descriptions = field_descriptions(command)
    for field in dataclasses.fields(command):
        kind, notes = _without_notes(hints[field.name])
        value = _default_of(field) if default is None else getattr(default, field.name)
        name = f"{prefix}{field.name.replace('_', '-')}"
        nested = kind if value is MISSING else type(value)  # a type variable's value says what it is
        if dataclasses.is_dataclass(nested):
            yield from options_of(nested, None if value is MISSING else value, _nested_prefix(prefix, name, notes))
            continue
        yield Option(
            name=name if tyro.conf.Positional in notes else f"--{name}",
            kind=kind,
            default=value,
            description=descriptions.get(field.name, ""),
            positional=tyro.conf.Positional in notes,
            value=next((note.metavar for note in notes if getattr(note, "metavar", None)), None),
        )


def choose_kinds(value: Any, args: Sequence[str], prefix: str = "") -> Any:
    """The dataclass `value` with its parts of the kinds that `args` name, as `--generator.kind resnet9` does.

    A field that is a union of dataclasses, distinguished by their field `kind`, has the options of the kind that is
    chosen; values of fields that the old kind shares with the new one are kept. UserError for an unknown kind.
    """
    hints = get_type_hints(type(value), include_extras=True)
    parts: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        if dataclasses.is_dataclass(part):
            union, notes = _without_notes(hints[field.name])
            name = f"{prefix}{field.name.replace('_', '-')}"
            part = _of_kind(part, get_args(union), f"--{name}.kind", args)
            parts[field.name] = choose_kinds(part, args, _nested_prefix(prefix, name, notes))
    return dataclasses.replace(value, **parts)


def _of_kind(part: Any, alternatives: Sequence[Any], option: str, args: Sequence[str]) -> Any:
    given = last_value(args, option)
    if given is None or not alternatives:
        return part
    kinds = {kind: chosen for chosen in alternatives for kind in get_args(get_type_hints(chosen)["kind"])}
    if given not in kinds:
        raise UserError(f"{option} {given}: must be one of {', '.join(kinds)}")
    old, new = ({field.name for field in dataclasses.fields(config)} for config in (part, kinds[given]))
    return kinds[given](**{name: getattr(part, name) for name in (old & new) - {"kind"}}, kind=given)


def last_value(args: Sequence[str], option: str) -> str | None:
    """The value of an option before the rest is parsed; None if it is not given. The last counts, as with every one."""
    value = None
    for word, following in itertools.pairwise([*args, ""]):
        name, equals, attached = word.partition("=")
        if name == option:
            value = attached if equals else following
    return value


def _without_notes(hint: Any) -> tuple[Any, Sequence[Any]]:
    """A type hint without Annotated, and what that adds."""
    return (get_args(hint)[0], get_args(hint)[1:]) if get_origin(hint) is Annotated else (hint, ())


def _nested_prefix(prefix: str, name: str, notes: Sequence[Any]) -> str:
    """The prefix of the options of a part; tyro.conf.arg(name="") makes them options of the whole."""
    return prefix if any(getattr(note, "name", None) == "" for note in notes) else f"{name}."


def _default_of(field: "dataclasses.Field[Any]") -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


@cache
def field_descriptions(command: type) -> dict[str, str]:
    """The strings under the fields of a dataclass and of those that it inherits from, each on one line."""
    found: dict[str, str] = {}
    for parent in reversed([kind for kind in command.__mro__ if dataclasses.is_dataclass(kind)]):
        body = ast.parse(textwrap.dedent(inspect.getsource(parent))).body[0]
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body, body.body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                text = following.value if isinstance(following, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    found[statement.target.id] = " ".join(text.value.split())
    return found


def metavar(kind: Any) -> str:
    """A type as help writes it: INT, a|b|c, INT INT, PATH ...; empty for a flag."""
    if kind is bool:
        return ""
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return "|".join(map(str, arguments))
    if get_origin(kind) is tuple:
        return " ".join("..." if argument is Ellipsis else metavar(argument) for argument in arguments)
    if get_origin(kind) in (Union, UnionType):
        return "|".join(metavar(argument) for argument in arguments if argument is not NoneType)
    return NAMES[kind][0]


def describe(kind: Any) -> str:
    """A type of one value as an error names it."""
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    return NAMES[kind][1]


def fits(kind: Any, text: str) -> bool:
    """Whether a value as typed is one of the type."""
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return text in map(str, arguments)
    if get_origin(kind) in (Union, UnionType):
        return any(fits(argument, text) for argument in arguments)
    if kind is NoneType:
        return text == "None"
    try:
        kind(text)
    except ValueError:
        return False
    return True
