import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limner.benchmarks.infer import main
from limner.benchmarks.poisson import highest_rate, poisson_latencies
from limner.core.bundle import BundleConfig, save_bundle
from limner.core.networks.config import DCGANGeneratorConfig
from limner.core.util.errors import UserError
from limner.core.util.timing import Timing
from limner.deploy.build import build
from limner.deploy.options import BuildOptions


@pytest.fixture(scope="module")
def engine(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OpenVINO engine of the bundle for batches of 1 and 2."""
    out = tmp_path_factory.mktemp("engines") / "small"
    build(bundle, out, BuildOptions("openvino", batch=(1, 1, 2)), report=lambda line: None)
    return out


def test_backends_are_compared(
    bundle: Path, engine: Path, run_benchmark: Callable[..., Any], check_schema: Callable[[Any], None]
) -> None:
    rows = run_benchmark(
        main,
        *("--model", str(bundle), "--engine", str(engine), "--backends", "torch-channels-last", "tensorrt"),
        *("--scenario", "single-stream", "offline", "server", "files", "cold-start", "--batch", "1", "2"),
    )
    check_schema(rows)
    timed = {(row["backend"], row["scenario"], row["batch"]): row for row in rows if row["note"] is None}
    for backend in ("torch", "torch-channels-last", "openvino"):
        for scenario in ("single-stream", "offline", "end-to-end"):
            for batch in (1, 2):
                row = timed[backend, scenario, batch]
                assert row["share_of_limit"] > 0.0
                assert row["details"]["psnr_db"] > 60.0
                assert row["vs_baseline_low"] <= row["vs_baseline"] <= row["vs_baseline_high"]
        assert (backend, "server", 1) in timed or any(row["scenario"] == "server" and row["note"] for row in rows)
    for backend in ("torch", "openvino"):
        assert {"import_ms", "load_ms", "first_ms"} <= set(timed[backend, "cold-start", 1]["details"])
    assert timed["torch", "offline", 2]["vs_baseline"] == 1.0
    assert timed["torch", "offline", 2]["details"]["manner"] == "MLPerf-style"
    assert timed["torch", "offline", 2]["details"]["limit"] in ("matrix", "bandwidth")
    assert [row["backend"] for row in rows if row["note"] and row["scenario"] is None] == ["tensorrt"]


def test_precisions_are_compared_and_a_batch_that_an_engine_lacks_is_noted(
    bundle: Path, engine: Path, run_benchmark: Callable[..., Any], check_schema: Callable[[Any], None]
) -> None:
    rows = run_benchmark(
        main,
        *("--model", str(bundle), "--engine", str(engine), "--backends", "onnxruntime:fp16"),
        *("--scenario", "single-stream", "--batch", "4"),
    )
    check_schema(rows)
    assert {(row["backend"], row["precision"], row["note"]) for row in rows} == {
        ("torch", "fp32", None),
        ("onnxruntime, fp16 weights", "fp32", None),
        ("openvino", "fp32", "built for other batches"),
    }


def test_the_newest_model_and_engine_are_named_in_the_rows_command(
    bundle: Path, engine: Path, run_benchmark: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle.parents[2])
    Path("engines").mkdir()
    shutil.copytree(engine, "engines/small")
    (row, *_) = run_benchmark(main, "--scenario", "single-stream", "--batch", "1")
    assert row["environment"]["command"].endswith("--model runs/small/model --engine engines/small")


@pytest.mark.parametrize("empty", ["--batch", "--scenario"])
def test_an_empty_list_is_refused(bundle: Path, run_benchmark: Callable[..., Any], empty: str) -> None:
    with pytest.raises(UserError, match="batch and scenario: name at least one of each"):
        run_benchmark(main, "--model", str(bundle), "--backends", "torch-channels-last", empty)


def test_a_wrong_model_is_named_before_a_missing_engine(
    tmp_path: Path, run_benchmark: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="nowhere"):
        run_benchmark(main, "--model", "nowhere")
    with pytest.raises(UserError, match="nowhere"):
        run_benchmark(main, "--model", "nowhere", "--engine", "neither")


def test_end_to_end_needs_photos(tmp_path: Path, run_benchmark: Callable[..., Any]) -> None:
    config = BundleConfig("dcgan", 64, "pad", (), DCGANGeneratorConfig("paper", latent=16, width=8))
    save_bundle(tmp_path / "model", config.build(), config)
    with pytest.raises(UserError, match=r"scenario end-to-end: .*model takes no photos: leave it out"):
        run_benchmark(main, "--model", str(tmp_path / "model"), "--scenario", "offline", "end-to-end")


def test_an_engine_of_another_model_is_refused(
    bundle: Path, engine_of_another: Path, run_benchmark: Callable[..., Any]
) -> None:
    with pytest.raises(UserError, match="built from another model than"):
        run_benchmark(main, "--model", str(bundle), "--engine", str(engine_of_another))


@pytest.fixture
def engine_of_another(engine: Path, tmp_path: Path) -> Path:
    """An engine directory whose manifest names another bundle."""
    out = tmp_path / "other"
    shutil.copytree(engine, out)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    manifest["source"]["bundle_hash"] = "0" * 64
    (out / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return out


def test_an_unknown_backend_is_refused_with_what_there_is(bundle: Path, run_benchmark: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match=r"unknown backends warp-drive \(allowed: torch, .*onnxruntime"):
        run_benchmark(main, "--model", str(bundle), "--backends", "warp-drive")


def test_queries_queue_and_waiting_counts() -> None:
    """Arrivals far apart wait for nothing; arrivals at once wait for all before them."""

    def query() -> None:
        time.sleep(0.005)

    crowded = poisson_latencies(query, rate=1e6, count=10, seed=0)
    assert np.all(np.diff(crowded) > 4.0)
    assert crowded[-1] > 50.0


def test_the_rate_found_is_the_largest_tried_that_meets_the_limit() -> None:
    alone = Timing((1.0,), 0)
    assert highest_rate(lambda: None, alone, limit_ms=0.0, quick=True) is None
    found = highest_rate(lambda: None, alone, limit_ms=1e9, quick=True)
    assert found is not None
    assert found[0] == pytest.approx(875.0)
