"""Every kind of model has a row under the name that --model takes, and what is damaged says why."""

from pathlib import Path

import pytest

from limner.commands.models import list_models, main
from limner.core.bundle import BundleConfig, save_bundle
from limner.core.networks.config import UNetConfig
from limner.deploy.load import find_directory


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ship(monkeypatch, tmp_path / "nothing")


def ship(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    for module in ("limner.core.runs", "limner.commands.models"):
        monkeypatch.setattr(f"{module}.SHIPPED", directory)


def make(directory: str) -> Path:
    config = BundleConfig("pix2pix", 64, "stretch", ("soft", "hard"), UNetConfig(width=2, depth=4, styles=2))
    save_bundle(Path(directory), config.build(), config)
    return Path(directory)


def test_every_kind_has_a_row_and_its_name_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped, model, run = make("elsewhere/portrait-sketch"), make("models/mine"), make("runs/faces/model")
    ship(monkeypatch, tmp_path / shipped)
    rows = list(list_models())
    assert [row[:2] for row in rows] == [("portrait-sketch", "shipped"), ("mine", "model"), ("faces", "run")]
    for row, directory in zip(rows, (shipped, model, run), strict=True):
        assert row[2:5] == ("pix2pix", "64", "soft, hard")
        assert float(row[5]) > 0.0
        assert find_directory(row[0]).samefile(directory)


def test_the_shipped_model_has_one_row_in_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    ship(monkeypatch, make("models/portrait-sketch").absolute())
    assert [row[1] for row in list_models()] == ["shipped"]


def test_what_is_damaged_says_why() -> None:
    (make("models/old") / "config.json").write_text("{", encoding="utf-8")
    engine = Path("engines/x/manifest.json")
    engine.parent.mkdir(parents=True)
    engine.write_text("{", encoding="utf-8")
    assert ["config.json" in row[2] or "manifest.json" in row[2] for row in list_models()] == [True, True]


def test_without_any_the_command_says_how_to_make_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "limner")
    main([])
    assert caplog.messages == ["no models here: limner train makes one"]
    make("models/mine")
    main([])
    assert "mine" in caplog.messages[-1]
