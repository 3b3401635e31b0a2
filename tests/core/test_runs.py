import os
from collections.abc import Callable
from pathlib import Path

import pytest

from limner.core.runs import default_run, find_engine, find_model
from limner.core.util.errors import UserError


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def leave(path: str, age_s: int) -> Path:
    """A file that was written `age_s` seconds before a fixed moment; its directory."""
    file = Path(path)
    file.parent.mkdir(parents=True)
    file.touch()
    os.utime(file, (1_000_000 - age_s, 1_000_000 - age_s))
    return file.parent


def test_a_run_without_a_name_is_called_after_task_and_preset() -> None:
    assert default_run("pix2pix", "lite") == Path("runs/pix2pix-lite")


@pytest.mark.parametrize("find", [find_model, find_engine])
def test_what_is_given_is_taken_without_a_word(find: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert find("some/where") == Path("some/where")
    assert capsys.readouterr().out == ""


def test_the_newest_is_taken_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    leave("runs/a/model/config.json", age_s=50)
    model = leave("runs/b/model/config.json", age_s=10)
    leave("runs/c/model/config.json", age_s=90)
    leave("runs/untrained/config.json", age_s=0)
    leave("engines/x/manifest.json", age_s=50)
    engine = leave("engines/y/manifest.json", age_s=10)
    assert find_model("") == model
    assert find_engine("") == engine
    assert capsys.readouterr().out.splitlines() == [
        f"--model {model} (the newest)",
        f"--engine {engine} (the newest)",
    ]


def test_of_equally_new_ones_the_last_by_name_is_taken() -> None:
    for name in ("b", "c", "a"):
        leave(f"engines/{name}/manifest.json", age_s=10)
    assert find_engine("") == Path("engines/c")


def test_none_to_be_found_names_the_command_that_makes_one() -> None:
    with pytest.raises(UserError) as caught:
        find_model("")
    expected = "no trained model under runs: python scripts/train.py makes one, or name one with --model"
    assert str(caught.value) == expected
    with pytest.raises(UserError, match=r"no engine under engines: python deploy/trt/build_engine\.py makes one"):
        find_engine("")
