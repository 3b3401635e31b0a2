import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from limner.core.runs import default_run, find_engine, find_model
from limner.core.util.errors import UserError


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", "limner")


def leave(path: str, age_s: int, content: object = None) -> Path:
    """A JSON file that was written `age_s` seconds before a fixed moment; its directory."""
    file = Path(path)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    os.utime(file, (1_000_000 - age_s, 1_000_000 - age_s))
    return file.parent


def test_a_run_without_a_name_is_called_after_task_and_preset() -> None:
    assert default_run("pix2pix", "lite") == Path("runs/pix2pix-lite")


@pytest.mark.parametrize("find", [find_model, find_engine])
def test_what_is_given_is_taken_without_a_word(find: Callable[[str], Path], caplog: pytest.LogCaptureFixture) -> None:
    assert find("some/where") == Path("some/where")
    assert caplog.messages == []


def test_the_newest_is_taken_and_said(caplog: pytest.LogCaptureFixture) -> None:
    leave("runs/a/model/config.json", age_s=50)
    model = leave("runs/b/model/config.json", age_s=10)
    leave("runs/c/model/config.json", age_s=90)
    leave("runs/untrained/config.json", age_s=0)
    leave("engines/x/manifest.json", age_s=50)
    engine = leave("engines/y/manifest.json", age_s=10)
    assert find_model("") == find_model(None) == model
    assert find_engine("") == engine
    model_line, engine_line = f"--model {model} (the newest)", f"--engine {engine} (the newest)"
    assert caplog.messages == [model_line, model_line, engine_line]


def test_the_newest_of_a_task_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    sketches = leave("runs/a/model/config.json", 50, {"task": "pix2pix"})
    faces = leave("runs/b/model/config.json", 10, {"task": "dcgan"})
    leave("runs/damaged/model/config.json", 0, [])
    engine = leave("engines/x/manifest.json", 50, {"source": {"task": "pix2pix"}})
    leave("engines/y/manifest.json", 10, {"source": {"task": "dcgan"}})
    assert find_model(None, "pix2pix") == sketches
    assert find_model(None, "dcgan") == faces
    assert find_engine(None, "pix2pix") == engine
    assert caplog.messages[0] == f"--model {sketches} (the newest of pix2pix)"
    with pytest.raises(UserError, match="no trained cyclegan model under runs: limner train cyclegan makes one, or"):
        find_model(None, "cyclegan")


def test_a_run_stands_for_its_model() -> None:
    model = leave("runs/a/model/config.json", age_s=0)
    assert find_model("runs/a") == find_model(Path("runs/a/model")) == model


def test_of_equally_new_ones_the_last_by_name_is_taken() -> None:
    for name in ("b", "c", "a"):
        leave(f"engines/{name}/manifest.json", age_s=10)
    assert find_engine("") == Path("engines/c")


def test_a_missing_one_names_the_verb_that_makes_it() -> None:
    with pytest.raises(
        UserError, match=r"^no trained model under runs: limner train makes one, or name one with --model$"
    ):
        find_model("")
    with pytest.raises(
        UserError, match=r"^no engine under engines: limner build makes one, or name one with --engine$"
    ):
        find_engine(None)


def test_a_run_before_its_first_save_has_no_model() -> None:
    Path("runs/a/checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="runs/a: this run has no model yet: limner train makes it when it saves"):
        find_model("runs/a")
