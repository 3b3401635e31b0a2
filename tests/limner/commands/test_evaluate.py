import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from limner.commands.evaluate import main
from limner.core.bundle import BundleConfig, bundle_hash, save_bundle
from limner.core.networks.config import DCGANGeneratorConfig, UNetConfig
from limner.core.util.errors import UserError
from limner.core.util.log import show_log
from limner.deploy.build import build
from limner.deploy.options import BuildOptions

FILES = ["metrics.json", "report.html", "report.md", "sheet.png"]
Evaluate = Callable[..., None]


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Run the command in a directory with one trained model, runs/tiny/model."""
    torch.manual_seed(0)
    config = BundleConfig("pix2pix", 64, "stretch", (), UNetConfig(width=2, depth=4))
    save_bundle(tmp_path / "runs" / "tiny" / "model", config.build(), config)
    monkeypatch.chdir(tmp_path)
    show_log()

    def run(*arguments: object) -> None:
        main([*map(str, arguments)])

    return run


def test_evaluates_the_newest_model_again_and_again(
    evaluate: Evaluate, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = []
    for _ in range(2):
        evaluate("--data", tiny_data)
        contents.append({path.name: path.read_bytes() for path in Path("eval").iterdir()})
    assert sorted(contents[0]) == FILES
    assert contents[0] == contents[1]
    said = capsys.readouterr().out
    for words in ("--model runs/tiny/model (the newest)", "evaluating: 1 of 1", "generator", "mean training sketch"):
        assert words in said.replace("\\", "/")
    assert json.loads(contents[0]["metrics.json"])["split"] == "test"


def test_another_split_and_place(evaluate: Evaluate, tiny_data: Path) -> None:
    evaluate("--model", "runs/tiny/model", "--data", tiny_data, "--split", "val", "--out", "a/b")
    assert json.loads(Path("a/b/metrics.json").read_text())["pairs"] == 2


def test_what_takes_noise_is_compared_with_the_training_portraits(
    evaluate: Evaluate, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever its task is called."""
    config = BundleConfig("another", 64, "stretch", (), DCGANGeneratorConfig(latent=8, width=4))
    save_bundle(Path("runs/noise/model"), config.build(), config)
    evaluate("--data", tiny_data, "--model", "noise", "--out", "a")
    metrics = json.loads(Path("a/metrics.json").read_text())
    assert (metrics["split"], metrics["images"]) == ("train", 11)
    assert list(metrics["scores"]) == ["generator", "data, mirrored"]
    assert "11 samples against 11 portraits" in capsys.readouterr().out


def test_an_engine_scores_as_its_bundle_does(evaluate: Evaluate, tiny_data: Path) -> None:
    build(Path("runs/tiny/model"), Path("engine"), BuildOptions(backend="openvino"), report=lambda line: None)
    found = []
    for model, out in (("runs/tiny", "a"), ("engine", "b")):
        evaluate("--model", model, "--data", tiny_data, "--out", out)
        found.append(json.loads(Path(out, "metrics.json").read_text()))
    bundle, engine = found
    assert engine["model_sha256"] == bundle["model_sha256"] == bundle_hash("runs/tiny/model")
    assert list(engine["scores"]) == list(bundle["scores"])
    for method, scores in bundle["scores"].items():
        assert engine["scores"][method] == pytest.approx(scores, rel=1e-3)


def test_nothing_is_written_where_something_is_wrong(evaluate: Evaluate, tiny_data: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    for arguments, words in (
        (["--data", tiny_data, "--out", mine], "mine exists and is not an evaluation"),
        (["--data", tiny_data, "--inception", "download"], "inception: sketches are compared pair by pair"),
        (["--data", tiny_data, "--model", "nowhere"], "nowhere: not a model bundle"),
        (["--data", "nowhere"], "nowhere is not a prepared dataset"),
        (["--data", tiny_data, "--split", "exam"], "no images in split 'exam'; it has train"),
        ([], "--data"),
    ):
        with pytest.raises(UserError, match=words):
            evaluate(*arguments)
    assert [path.name for path in mine.iterdir()] == ["letter.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "runs"]
