import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from limner.core.bundle import BundleConfig, save_bundle
from limner.core.networks.config import DCGANGeneratorConfig, GeneratorConfig, UNetConfig
from limner.core.runs import default_run, find_engine, find_model
from limner.core.util.errors import UserError


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("limner.core.runs.SHIPPED", tmp_path / "nothing")
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


def test_the_newest_that_takes_photos_or_noise_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    generators: dict[str, GeneratorConfig] = {
        "sketches": UNetConfig(width=2, depth=4),
        "faces": DCGANGeneratorConfig(latent=4, width=2),
    }
    for age_s, (name, generator) in zip((50, 10), generators.items(), strict=True):
        config = BundleConfig("any", 64, "stretch", (), generator)
        save_bundle(Path("runs") / name / "model", config.build(), config)
        os.utime(Path("runs") / name / "model" / "config.json", (1_000_000 - age_s, 1_000_000 - age_s))
    leave("runs/damaged/model/config.json", 0, [])
    assert find_model(None, "photo") == Path("runs/sketches/model")
    assert find_model(None, "latent") == Path("runs/faces/model")
    assert caplog.messages[0] == f"--model {Path('runs/sketches/model')} (the newest)"
    shutil.rmtree("runs/faces")
    expected = "no trained model of portraits from noise under runs: limner train dcgan makes one, or name one with"
    with pytest.raises(UserError, match=expected):
        find_model(None, "latent")


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


def test_the_shipped_model_is_taken_where_no_run_has_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shipped = tmp_path / "package" / "portrait-sketch"
    monkeypatch.setattr("limner.core.runs.SHIPPED", shipped)
    leave("package/portrait-sketch/config.json", age_s=5)
    assert find_model(None, "photo") == find_model("") == shipped
    assert caplog.messages[0] == "--model portrait-sketch (comes with Limner; there is no model under runs)"
    with pytest.raises(UserError, match="no trained model of portraits from noise"):
        find_model(None, "latent")
    own = leave("runs/a/model/config.json", age_s=10)
    assert find_model("") == own


def test_a_bare_name_is_looked_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("limner.core.runs.SHIPPED", tmp_path / "package" / "portrait-sketch")
    shipped = leave("package/portrait-sketch/config.json", age_s=0)
    run = leave("runs/faces/model/config.json", age_s=0)
    engine = leave("engines/quick/manifest.json", age_s=0)
    assert find_model("portrait-sketch").samefile(shipped)
    assert (find_model("faces"), find_model("quick")) == (run, engine)
    model = leave("models/faces/config.json", age_s=0)
    assert find_model("faces") == model
