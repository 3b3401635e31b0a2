import os
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from limner.core.config import require
from limner.core.util.cli import parse
from limner.core.util.errors import UserError, run_command


@dataclass(frozen=True)
class Net:
    width: int = 64

    def __post_init__(self) -> None:
        require(self.width > 0, f"width {self.width}: must be at least 1")


@dataclass(frozen=True)
class Options:
    """What the command does."""

    photos: tyro.conf.Positional[tuple[Path, ...]] = ()
    mode: Literal["pad", "tile"] = "pad"
    batch_size: int = 1
    """Images at a time."""
    net: Net = field(default_factory=Net)

    def __post_init__(self) -> None:
        require(self.batch_size > 0, f"batch-size {self.batch_size}: must be at least 1")


@dataclass(frozen=True)
class Copy:
    source: Path


@dataclass(frozen=True)
class Draw:
    count: int = 3


TASKS = Annotated[Copy, tyro.conf.subcommand("copy")] | Annotated[Draw, tyro.conf.subcommand("draw")]


def test_flags_and_positionals_become_a_value() -> None:
    found = parse(Options, shlex.split("a.png b.png --mode tile --batch-size 4 --net.width 8"))
    assert found == Options((Path("a.png"), Path("b.png")), "tile", 4, Net(8))


def test_default_stands_where_the_arguments_are_silent() -> None:
    assert parse(Options, ["--mode", "tile"], default=Options(batch_size=7)) == Options(mode="tile", batch_size=7)


def test_a_union_makes_subcommands() -> None:
    assert parse(TASKS, ["draw", "--count", "5"]) == Draw(5)
    assert parse(TASKS, [], default=Draw(9)) == Draw(9)


def test_without_arguments_it_reads_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["translate.py", "--batch-size", "2"])
    assert parse(Options).batch_size == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("--modle pad", "Unrecognized options: --modle, pad; perhaps you meant --mode; see do.py --help"),
        (
            "--mode loop",
            "invalid choice 'loop' for argument '--mode'. Expected one of ('pad', 'tile'); see do.py --help",
        ),
        ("--batch-size", "Missing value for argument '--batch-size'. Expected 1 values; see do.py --help"),
        ("--batch-size 0", "batch-size 0: must be at least 1"),
        ("--net.width -1", "width -1: must be at least 1"),
    ],
)
def test_a_wrong_flag_is_one_line(arguments: str, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["do.py"])
    with pytest.raises(UserError) as caught:
        parse(Options, shlex.split(arguments))
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("", ["copy, draw"]),
        ("cpoy", ["cpoy", "copy, draw"]),
        ("copy", ["--source PATH"]),
        ("draw --source x", ["--source", "perhaps you meant --source"]),
    ],
)
def test_a_wrong_subcommand_is_one_line(arguments: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse(TASKS, shlex.split(arguments))
    assert "\n" not in str(caught.value)
    assert all(part in str(caught.value) for part in parts)


def test_a_long_value_is_not_broken() -> None:
    value = "deep/" * 30 + "file"
    environment = dict(os.environ)
    with pytest.raises(UserError, match=value):
        parse(Options, ["--batch-size", value])
    assert dict(os.environ) == environment


def test_help_keeps_its_lines_and_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(Options, ["--help"])
    shown = capsys.readouterr().out
    assert not caught.value.code
    assert "What the command does." in shown
    assert "Images at a time." in shown
    assert shown.count("\n") > 10


def test_in_a_script_it_is_an_error_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        parse(Options, ["--net.widht", "3"])

    with pytest.raises(SystemExit) as caught:
        run_command(main)
    assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: Unrecognized options: --net.widht, 3; perhaps you meant --net.width; see ")
    assert shown.count("\n") == 1
