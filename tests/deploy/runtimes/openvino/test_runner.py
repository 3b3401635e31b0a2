import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import openvino
import pytest

import limner.deploy.runtimes.openvino.runner as openvino_runtime
from limner.core.util.errors import UserError
from limner.deploy.build import BuildOptions, build
from limner.deploy.engine import open_engine
from limner.deploy.runtimes.openvino import winograd
from limner.deploy.runtimes.openvino.runner import ANY_SIZE, OpenVinoRuntime, OpenVinoTarget


def test_threads_and_hint_reach_the_model(engine_directory: Path) -> None:
    with open_engine(engine_directory, threads=1, hint="throughput") as engine:
        model = engine.runtime.compile(1)  # type: ignore[attr-defined]
        assert model.get_property("INFERENCE_NUM_THREADS") == 1
        assert str(model.get_property("PERFORMANCE_HINT")).endswith("THROUGHPUT")


def test_fp32_is_really_fp32(engine_directory: Path) -> None:
    """OpenVINO by itself takes bf16 where the processor has it."""
    with open_engine(engine_directory) as engine:
        model = engine.runtime.compile(1)  # type: ignore[attr-defined]
        assert model.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32


def test_sizes_of_the_profile_are_compiled_when_they_come_and_others_share_one(engine_directory: Path) -> None:
    with open_engine(engine_directory) as engine:
        (port,) = engine.signature.inputs
        photos = np.random.default_rng(0).uniform(-1.0, 1.0, (4, *port.shape)).astype(np.float32)
        expected = engine.infer(photos)
        assert set(engine.runtime.compiled) == {4}  # type: ignore[attr-defined]
        for size in (1, 2, 3):
            np.testing.assert_allclose(engine.infer(photos[:size]), expected[:size], rtol=0, atol=1e-5)
        assert set(engine.runtime.compiled) == {1, 2, ANY_SIZE, 4}  # type: ignore[attr-defined]


@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_callers_that_come_at_once_share_what_is_compiled(
    engine_directory: Path, monkeypatch: pytest.MonkeyPatch, hint: Any
) -> None:
    sizes: list[int] = []
    compile_graph = OpenVinoRuntime.compile

    def counted(runtime: OpenVinoRuntime, size: int) -> openvino.CompiledModel:
        sizes.append(size)
        return compile_graph(runtime, size)

    monkeypatch.setattr(OpenVinoRuntime, "compile", counted)
    with open_engine(engine_directory, hint=hint) as engine, ThreadPoolExecutor(8) as pool:
        (port,) = engine.signature.inputs
        photos = np.random.default_rng(0).uniform(-1.0, 1.0, (4, *port.shape)).astype(np.float32)
        batches = [photos[:size] for size in (1, 2, 3, 4)] * 6
        results = list(pool.map(engine.infer, batches))
        assert sorted(sizes) == sorted({1, 2, ANY_SIZE, 4})
        assert engine.runtime.lanes.qsize() == engine.runtime.streams  # type: ignore[attr-defined]
        for batch, result in zip(batches, results, strict=True):
            np.testing.assert_allclose(result, engine.infer(photos)[: len(batch)], rtol=0, atol=1e-5)


@pytest.mark.parametrize("faster", [True, False])
def test_winograd_is_kept_where_it_is_faster(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: bool
) -> None:
    """By a clock of the test's; what is built is proven against the bundle like any engine."""
    run_twice = openvino_runtime._seconds
    monkeypatch.setattr(winograd, "LEAST_WORK", 0)
    monkeypatch.setattr(winograd, "LEAST_REUSE", 64)

    def seconds(runtime: OpenVinoRuntime, inputs: Any) -> float:
        assert run_twice(runtime, inputs) > 0.0
        return 1.0 if runtime.transformed else 2.0 if faster else 0.5

    monkeypatch.setattr(openvino_runtime, "_seconds", seconds)
    lines: list[str] = []
    options = BuildOptions(backend="openvino", batch=(1, 2, 4))
    manifest = build(bundle, tmp_path / "engine", options, lines.append)
    assert manifest.options["winograd"] is faster
    told = "0.50 of the time at batch 1: kept" if faster else "2.00 of the time at batch 1: left out"
    assert f"Winograd's convolutions take {told}" in lines
    with open_engine(tmp_path / "engine") as engine:
        assert (engine.runtime.transformed > 0) is faster  # type: ignore[attr-defined]


def test_an_engine_from_before_there_was_winograd_opens(engine_directory: Path, tmp_path: Path) -> None:
    older = tmp_path / "engine"
    shutil.copytree(engine_directory, older)
    manifest = json.loads((older / "manifest.json").read_text())
    del manifest["options"]["winograd"]
    (older / "manifest.json").write_text(json.dumps(manifest))
    with open_engine(older) as engine:
        assert engine.runtime.transformed == 0  # type: ignore[attr-defined]


def test_nothing_is_timed_where_no_convolution_is_large(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_runtime, "_seconds", lambda runtime, inputs: pytest.fail("timed"))
    manifest = build(bundle, tmp_path / "engine", BuildOptions(backend="openvino", batch=(1, 1, 1)), print)
    assert manifest.options["winograd"] is False


@pytest.mark.parametrize(
    ("processor", "asked", "fine"),
    [
        (["FP32", "BF16", "INT8"], "bf16", True),
        (["FP32", "INT8"], "bf16", False),
        (["FP32"], "int8", False),
        (["FP32"], "fp16", True),
    ],
)
def test_a_precision_is_refused_where_the_processor_has_none(
    monkeypatch: pytest.MonkeyPatch, processor: list[str], asked: Any, fine: bool
) -> None:
    core = SimpleNamespace(get_property=lambda device, name: processor)
    monkeypatch.setattr(openvino, "Core", lambda: core)
    target = OpenVinoTarget(0, "latency")
    if fine:
        target.check(asked)
    else:
        with pytest.raises(UserError, match=rf"precision {asked}: this processor has none .*FP32.*: take fp32"):
            target.check(asked)
