"""Any kept checkpoint becomes a bundle: the newest is the run's own, fp16 loads as fp32, what is not there is named."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import limner
from limner.commands.export import main
from limner.core.bundle import CONFIG, WEIGHTS, BundleConfig, load_bundle_config, load_generator, save_bundle
from limner.core.config import CadenceConfig
from limner.core.networks.config import UNetConfig
from limner.core.spec import RunSpec, prepare_run_dir
from limner.core.tasks.pix2pix.validation import PairValidator
from limner.core.util.errors import UserError
from limner.distributed.context import WorkerContext
from limner.distributed.worker import run_worker

MakeSpec = Callable[..., RunSpec]


@pytest.fixture
def run(make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three epochs of 11 images; the second is the best."""
    monkeypatch.setattr(
        PairValidator, "evaluate", lambda self, generators, seen: {"validation/l1": 0.1 if seen == 22 else 0.3}
    )
    monkeypatch.chdir(tmp_path)
    spec = make_spec("runs/faces", epochs=3, cadence=CadenceConfig(report_images=11), ema_halflife_images=20.0)
    prepare_run_dir(spec)
    assert run_worker(spec, WorkerContext(0, 1, torch.device("cpu"), 1, threading.Event(), lambda progress: None))
    return spec.run


def same_files(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in (CONFIG, WEIGHTS))


def test_the_newest_is_the_runs_own_model_and_the_best_another(run: Path) -> None:
    for checkpoint in ("newest", "best", "22", "11"):
        main(["faces", "--checkpoint", checkpoint, "--out", checkpoint])
    assert same_files(Path("newest"), run / "model")
    assert same_files(Path("best"), Path("22"))
    weights = {(Path(name) / WEIGHTS).read_bytes() for name in ("newest", "best", "11")}
    assert len(weights) == 3
    main([str(run), "--out", "best"])
    assert same_files(Path("best"), run / "model"), "an older bundle is replaced"


def test_fp16_is_half_as_large_and_computes_in_fp32(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "limner")
    main(["faces", "--out", "half", "--dtype", "fp16", "--checkpoint", "best"])
    assert "checkpoint of image 22 (score 0.1000), fp16" in caplog.text
    main(["faces", "--out", "full", "--checkpoint", "best"])
    sizes = [(Path(name) / WEIGHTS).stat().st_size for name in ("half", "full")]
    assert 0.45 < sizes[0] / sizes[1] < 0.65
    half, full = load_generator("half"), load_generator("full")
    for ours, theirs in zip(half.parameters(), full.parameters(), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_the_default_style_is_taken_where_none_is_asked_for(run: Path) -> None:
    config = BundleConfig("pix2pix", 64, "stretch", ("a", "b", "c"), UNetConfig(width=2, depth=4, styles=3), "b")
    save_bundle(Path("styled"), config.build(), config)
    assert load_bundle_config("styled") == config
    photo = np.zeros((64, 64, 3), np.uint8)
    with limner.load("styled") as model:
        assert isinstance(model, limner.Translator)
        assert model(photo).tobytes() == model(photo, style=1).tobytes() != model(photo, style=2).tobytes()
    with pytest.raises(UserError, match="default-style sad: must be one of none, the generator has no styles"):
        main(["faces", "--out", "other", "--default-style", "sad"])


def test_what_is_not_there_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="checkpoint 12: must be best, newest, or one of 11, 22, 33"):
        main(["faces", "--checkpoint", "12", "--out", "out"])
    with pytest.raises(UserError, match="fases: no run with checkpoints: give its directory, or the name"):
        main(["fases", "--out", "out"])
    with pytest.raises(UserError, match="checkpoints exists and is no model bundle"):
        main(["faces", "--out", str(run / "checkpoints")])
    state = run / "checkpoints" / "0000000011" / "state.pt"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(Exception, match="0000000011 is damaged"):
        main(["faces", "--checkpoint", "11", "--out", "out"])
    assert not Path("out").exists()


def test_weights_that_fp16_cannot_hold_are_refused(tmp_path: Path) -> None:
    config = BundleConfig("pix2pix", 64, "stretch", (), UNetConfig(width=2, depth=4, styles=0))
    generator = config.build()
    with torch.no_grad():
        next(iter(generator.parameters())).fill_(1e6)
    with pytest.raises(UserError, match=r"dtype fp16: .* has values beyond its range, store the model in fp32"):
        save_bundle(tmp_path / "model", generator, config, "fp16")
