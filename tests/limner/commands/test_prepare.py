import subprocess
import sys
from pathlib import Path

import pytest

from limner.commands.prepare import IMPORTERS
from limner.core.util.options import options_of
from limner.data_pipeline.index import load_dataset


def prepare(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "limner", "prepare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_from_the_command_line_to_a_dataset(tmp_path: Path) -> None:
    done = prepare("synthetic", "--count", 5, "--out", tmp_path / "out", "--size", 32, "--val-fraction", 0.2)
    assert done.returncode == 0, done.stderr
    assert "preparing: 5 of 5" in done.stdout
    assert "rejected: none" in done.stdout
    assert load_dataset(tmp_path / "out").size == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "limner prepare needs one of fs2k, cuhk, pairs, combined, portraits, pencil, synthetic"),
        (("watercolour",), "unknown command 'limner prepare watercolour' (allowed: fs2k, cuhk"),
        (
            ("pairs", "--photos", "x"),
            "missing --out PATH (The dataset directory to make, such as data/NAME.), --sketches",
        ),
        (("fs2k", "--source", "nowhere", "--out", "x"), "nowhere: there is no such folder or zip archive"),
        (("synthetic", "--count", "3", "--out", "x", "--fit", "bend"), "--fit bend: must be one of stretch, pad, crop"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], message: str) -> None:
    done = prepare(*arguments)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def test_every_option_of_every_importer_is_described() -> None:
    for name, (command, _, about) in IMPORTERS.items():
        options = list(options_of(command))
        assert len(options) >= (3 if name == "merge" else 8), name
        assert all(option.description for option in options), name
        assert about
