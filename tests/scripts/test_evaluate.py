import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from limner.core.bundle import BundleConfig, save_bundle
from limner.core.networks.config import UNetConfig
from limner.core.util.errors import UserError
from limner.core.util.log import show_log

SCRIPTS = Path(__file__).parents[2] / "scripts"
FILES = ["metrics.json", "report.html", "report.md", "sheet.png"]
Evaluate = Callable[..., None]


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Run the script in a directory with one trained model, runs/tiny/model."""
    torch.manual_seed(0)
    config = BundleConfig("pix2pix", 64, "stretch", (), UNetConfig(width=2, depth=4))
    save_bundle(tmp_path / "runs" / "tiny" / "model", config.build(), config)
    monkeypatch.syspath_prepend(SCRIPTS)
    main = importlib.import_module("evaluate").main
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> None:
        monkeypatch.setattr("sys.argv", ["evaluate.py", *map(str, arguments)])
        show_log()
        main()

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
