import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

import pytest
import tyro

from limner.core.config import require
from limner.core.util.cli import parse
from limner.core.util.errors import UserError, run_command
from limner.core.util.options import options_of


@dataclass(frozen=True)
class Net:
    width: int = 64
    bias: bool = True

    def __post_init__(self) -> None:
        require(self.width > 0, f"width {self.width}: must be at least 1")


@dataclass(frozen=True)
class Options:
    """What the command does."""

    photos: tyro.conf.Positional[tuple[Path, ...]] = ()
    mode: Literal["pad", "tile"] = "pad"
    batch_size: int = 1
    """Images at a time."""
    profile: tuple[int, int] = (1, 8)
    scale: Annotated[float | None, tyro.conf.arg(metavar="FACTOR")] = None
    compare: bool = False
    net: Net = field(default_factory=Net)

    def __post_init__(self) -> None:
        require(self.batch_size > 0, f"batch-size {self.batch_size}: must be at least 1")


@dataclass(frozen=True)
class Copy:
    source: Path
    """What is copied,
    whole."""
    out: Path
    limit: int = 3


@dataclass(frozen=True)
class Round:
    kind: Literal["round"] = "round"
    radius: int = 1
    colour: str = "red"


@dataclass(frozen=True)
class Edged:
    kind: Literal["square", "oblong"] = "square"
    colour: str = "red"
    side: int = 2


@dataclass(frozen=True)
class Shape:
    body: Round | Edged = field(default_factory=Round)


Config = TypeVar("Config")


@dataclass(frozen=True)
class Wrapped(Generic[Config]):
    config: Annotated[Config, tyro.conf.arg(name="")]
    quick: bool = False


def test_flags_and_positionals_become_a_value() -> None:
    found = parse(Options, shlex.split("a.png b.png --mode tile --batch-size 4 --net.width 8 --compare"))
    assert found == Options((Path("a.png"), Path("b.png")), "tile", 4, compare=True, net=Net(8))


def test_a_default_holds_where_the_arguments_are_silent() -> None:
    assert parse(Options, ["--mode", "tile"], default=Options(batch_size=7)) == Options(mode="tile", batch_size=7)


def test_without_arguments_it_reads_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["translate.py", "--batch-size", "2"])
    assert parse(Options).batch_size == 2


def message(command: type, arguments: str, default: object = None) -> str:
    with pytest.raises(UserError) as caught:
        parse(command, shlex.split(arguments), default=default, prog="limner do")
    assert "\n" not in str(caught.value)
    return str(caught.value).removesuffix(" (see limner do --help)")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("--modle pad", "unknown option --modle: did you mean --mode?"),
        ("--modle=pad", "unknown option --modle: did you mean --mode?"),
        ("--net.widht 3", "unknown option --net.widht: did you mean --net.width?"),
        ("--zzz", "unknown option --zzz"),
        ("--mode loop", "--mode loop: must be one of pad, tile"),
        ("--batch-size abc", "--batch-size abc: must be a whole number"),
        ("--batch_size 1.5", "--batch-size 1.5: must be a whole number"),
        ("--scale big", "--scale big: must be a number or None"),
        ("--profile 1 x", "--profile 1 x: each must be a whole number"),
        ("--profile 1", "--profile 1: needs 2 values: give --profile INT INT"),
        ("--batch-size", "--batch-size: needs a value: give --batch-size INT"),
        ("--batch-size --compare", "--batch-size: needs a value: give --batch-size INT"),
        ("a.png --batch-size 2 b.png", "unexpected argument 'b.png'"),
        ("a.png --net.no-bias --no-compare no", "unexpected argument 'no'"),
        ("--net.no-bais", "unknown option --net.no-bais: did you mean --net.no-bias?"),
        ("--batch-size 0", "batch-size 0: must be at least 1"),
        ("--net.width -1", "width -1: must be at least 1"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: str, error: str) -> None:
    assert message(Options, arguments) == error


def test_required_options_that_are_missing_are_named_with_what_they_are() -> None:
    assert message(Copy, "") == "missing --source PATH (What is copied, whole.), --out PATH"
    assert message(Copy, "--source x") == "missing --out PATH"
    assert message(Copy, "--source x --out y z") == "unexpected argument 'z'"


def test_options_of_a_field_without_a_name_have_no_prefix() -> None:
    default = Wrapped(Options(batch_size=7))
    assert parse(Wrapped[Options], ["--net.width", "3"], default=default).config == Options(batch_size=7, net=Net(3))
    assert message(Wrapped[Options], "--net.width big", default) == "--net.width big: must be a whole number"
    assert message(Wrapped[Options], "--qiuck", default) == "unknown option --qiuck: did you mean --quick?"


def test_a_part_has_the_options_of_the_kind_that_is_chosen() -> None:
    default = Wrapped(Shape(Round(radius=5, colour="blue")))
    for arguments, body in (
        ([], Round("round", 5, "blue")),
        (["--body.radius", "3", "--body.kind=round"], Round("round", 3, "blue")),
        (["--body.kind", "oblong", "--body.side", "4"], Edged("oblong", "blue", 4)),
    ):
        assert parse(Wrapped[Shape], arguments, default=default).config.body == body
    assert message(Wrapped[Shape], "--body.side 3", default) == "unknown option --body.side: did you mean --body.kind?"
    expected = "--body.kind suqare: must be one of round, square, oblong"
    assert message(Wrapped[Shape], "--body.kind suqare", default) == expected


def test_options_are_described_by_the_strings_under_the_fields() -> None:
    options = {option.name: option for option in options_of(Wrapped[Options], Wrapped(Options(batch_size=7)))}
    assert options["--batch-size"].description == "Images at a time."
    assert options["--batch-size"].default == 7
    assert options["--batch-size"].description_with_default == "Images at a time. (default: 7)"
    assert options["--net.width"].description == ""
    assert options["--net.width"].description_with_default == "(default: 64)"
    assert options["--quick"].description_with_default == ""
    assert [option.usage for option in options.values()] == [
        *("PATH ...", "--mode pad|tile", "--batch-size INT", "--profile INT INT", "--scale FACTOR", "--compare"),
        *("--net.width INT", "--net.bias", "--quick"),
    ]


def test_a_long_value_is_not_broken() -> None:
    value = "deep/" * 30 + "file"
    assert value in message(Options, f"--batch-size {value}")


def test_help_keeps_its_lines_and_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["--mode", "wrong", "-h"]):
        with pytest.raises(SystemExit) as caught:
            parse(Options, arguments, prog="limner do")
        shown = capsys.readouterr().out
        assert not caught.value.code
        assert "usage: limner do" in shown
        assert "What the command does." in shown
        assert "Images at a time." in shown
        assert shown.count("\n") > 10


def test_in_a_command_it_is_an_error_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        parse(Options, ["--net.widht", "3"], prog="limner do")

    with pytest.raises(SystemExit) as caught:
        run_command(main)
    assert caught.value.code == 2
    expected = "error: unknown option --net.widht: did you mean --net.width? (see limner do --help)\n"
    assert capsys.readouterr().err == expected
