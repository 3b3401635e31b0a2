"""How a command ends, in processes of its own where pipes and exit codes are concerned."""

import subprocess
import sys

import pytest

from limner.core.util.errors import LimnerError, UserError, run_command

COMMAND = "from limner.core.util.errors import *\ndef main():\n    {}\nrun_command(main)"


def run(body: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", COMMAND.format(body)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("body", "code", "error"),
    [
        ("print('done')", 0, ""),
        ("raise UserError('x 1: must be 2')", 2, "error: x 1: must be 2"),
        ("raise LimnerError('a worker died')", 1, "error: a worker died"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("open('/nowhere/at/all', 'w')", 1, "No such file or directory: '/nowhere/at/all'"),
        ("open('/', 'w')", 2, "error: /: Is a directory: give another path"),
        (
            "raise OSError(errno.ENOSPC, 'full', 'out.png')",
            1,
            "error: no space left for out.png: free some and run again",
        ),
        ("raise ZeroDivisionError('ours')", 1, "ZeroDivisionError: ours"),
    ],
)
def test_the_end_of_a_command_is_one_line_and_its_code(body: str, code: int, error: str) -> None:
    done = run(body)
    assert done.returncode == code
    assert (done.stderr.splitlines() or [""])[-1].endswith(error)
    assert ("Traceback" in done.stderr) == ("No such file" in error or "ZeroDivision" in error)


def test_a_package_that_an_extra_brings_is_named_with_the_extra(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise ModuleNotFoundError("No module named 'onnx.helper'", name="onnx.helper")

    with pytest.raises(SystemExit) as end:
        run_command(main)
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: this needs onnx, which is not installed: pip install 'limner[engines]'\n"


def test_a_module_of_ours_that_is_missing_is_a_defect() -> None:
    def main() -> None:
        raise ModuleNotFoundError("No module named 'limner.nothing'", name="limner.nothing")

    with pytest.raises(ModuleNotFoundError):
        run_command(main)


@pytest.mark.parametrize(
    "body", ["print('x\\n' * 1000000)", "print('x' * 100)", "print('x' * 1000000); raise SystemExit(0)"]
)
def test_a_reader_that_closes_the_pipe_ends_it_quietly(body: str) -> None:
    command = [sys.executable, "-c", COMMAND.format(f"import time; time.sleep(0.3); {body}")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_another_broken_pipe_is_a_defect() -> None:
    def main() -> None:
        raise BrokenPipeError("a worker's")

    with pytest.raises(BrokenPipeError):
        run_command(main)


def test_a_user_error_is_a_limner_error() -> None:
    assert issubclass(UserError, LimnerError)
