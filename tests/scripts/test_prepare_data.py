import subprocess
import sys
from pathlib import Path

import pytest

from limner.data_pipeline.index import load_dataset

SCRIPT = Path(__file__).parents[2] / "scripts" / "prepare_data.py"


def prepare(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_from_the_command_line_to_a_dataset(tmp_path: Path) -> None:
    done = prepare("synthetic", "--count", 5, "--out", tmp_path / "out", "--size", 32, "--val-fraction", 0.2)
    assert done.returncode == 0, done.stderr
    assert "preparing: 5 of 5" in done.stdout
    assert "rejected: none" in done.stdout
    assert load_dataset(tmp_path / "out").size == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Expected one of {fs2k, cuhk, pairs, combined, portraits, pencil, synthetic}"),
        (("watercolour",), "watercolour"),
        (("fs2k", "--source", "nowhere", "--out", "x"), "nowhere: there is no such folder or zip archive"),
        (("synthetic", "--count", "3", "--out", "x", "--fit", "bend"), "bend"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], message: str) -> None:
    done = prepare(*arguments)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]
