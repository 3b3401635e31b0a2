import json
import shlex
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from limner.core.util.errors import run_command
from limner.deploy.manifest import read_manifest
from limner.deploy.trt.build_engine import main

Run = Callable[[str], tuple[object, str, str]]


@pytest.fixture
def run(bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line where runs/small/model is; gives exit code, stdout and stderr."""
    shutil.copytree(bundle, tmp_path / "runs" / "small" / "model")
    monkeypatch.chdir(tmp_path)

    def command(line: str) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["build_engine.py", *shlex.split(line)])
        with pytest.raises(SystemExit) as end:
            run_command(main)
        printed = capsys.readouterr()
        return end.value.code, printed.out, printed.err

    return command


@pytest.mark.skipif(
    torch.cuda.is_available() and find_spec("tensorrt") is not None, reason="this machine's default is tensorrt"
)
def test_without_arguments_the_newest_model_becomes_an_engine(run: Run) -> None:
    code, out, err = run("")
    assert (code, err) == (0, "")
    manifest = read_manifest("engines/small")
    assert manifest.backend == "openvino"
    assert "(the newest)" in out
    assert "parity: max-abs" in out
    assert "batches 1, 2, 8, 32" in out
    assert "latency: " in out
    assert any(f"x {word} than torch" in out for word in ("faster", "slower")) or "as fast as torch" in out
    assert f"engine: {Path('engines/small')}" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--model nowhere", "nowhere: not a model bundle"),
        ("--precision fp8", "--precision"),
        ("--backend cudnn", "--backend"),
        ("--batch 0 1 1", "batch 0 1 1: must be MIN OPT MAX"),
        ("--batch 8 1 4", "batch 8 1 4: must be MIN OPT MAX"),
        ("--batch 8", "--batch"),
        ("--out runs", "runs exists: give another --out"),
        ("--data runs --backend onnxruntime --precision int8", "runs is not a prepared dataset"),
        ("--tensorrt.level 9", "tensorrt.level 9: must be 0 to 5"),
        ("--backend openvino --tensorrt.level 5", "tensorrt.level: openvino has no such option"),
        ("--backend openvino --tensorrt.level=3", "tensorrt.level: openvino has no such option"),
        ("--backend onnxruntime --tensorrt.workspace_gb 2", "tensorrt.workspace-gb: onnxruntime has no such option"),
        ("--backend tensorrt --threads 2", "threads: tensorrt has no such option"),
        ("--backend tensorrt --hint latency", "hint: tensorrt has no such option"),
        ("--backend torch-tensorrt --pixels", "pixels: torch-tensorrt has no such option"),
        ("--backend tensorrt-rtx --tensorrt.timing-cache c", "tensorrt.timing-cache: tensorrt-rtx has no such option"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(run: Run, line: str, message: str) -> None:
    code, _, err = run(line)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not Path("engines").exists() or not list(Path("engines").iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_tensorrt_without_a_driver(run: Run) -> None:
    code, _, err = run("--backend tensorrt")
    assert code == 2
    assert err.startswith("error: backend tensorrt: no NVIDIA GPU or driver")


def test_a_bundle_of_another_version(run: Run) -> None:
    config = Path("runs/small/model/config.json")
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | {"format": 99}), encoding="utf-8")
    code, _, err = run("")
    assert code == 2
    assert "bundle format 99, this version reads format" in err


def test_no_model_at_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.core.runs.SHIPPED", Path("nothing"))
    shutil.rmtree("runs")
    code, _, err = run("")
    assert code == 2
    assert "no trained model under runs" in err
