import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto

import limner.deploy.build
from limner.core.bundle import bundle_hash
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.build import BuildOptions, build, resolve
from limner.deploy.engine import open_engine
from limner.deploy.manifest import read_manifest
from limner.deploy.parity import Tolerance
from limner.deploy.runtimes.openvino.runner import OpenVinoTarget
from limner.deploy.trt.builder import TensorRTOptions

SMALL = (1, 2, 3)


@pytest.fixture(autouse=True)
def exported(case: Callable[[str], tuple[Any, Any, ModelProto]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle's own graph, without the seconds that each export takes; `engine_directory` is exported in earnest."""
    monkeypatch.setattr(limner.deploy.latency, "BUDGET", replace(limner.deploy.latency.BUDGET, max_repeats=10))
    monkeypatch.setattr(limner.deploy.build, "export_onnx", lambda generator, signature: case("instance")[2])


def silent(line: str) -> None:
    """Instead of print."""


def left_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_an_engine_comes_with_its_proof(engine_directory: Path, bundle: Path) -> None:
    manifest = read_manifest(engine_directory)
    assert manifest.source.bundle_hash == bundle_hash(bundle)
    assert (manifest.source.task, manifest.source.image_size, manifest.source.fit) == ("pix2pix", 64, "pad")
    assert (manifest.backend, manifest.batch) == ("openvino", BatchProfile(1, 2, 4))
    assert manifest.precision.asked == manifest.precision.stored == manifest.precision.executed == "fp32"
    assert isinstance(manifest.parity, dict)
    assert set(manifest.parity["batches"]) == {"1", "2", "3", "4"}
    assert max(report["max_abs"] for report in manifest.parity["batches"].values()) < 1e-3
    assert manifest.latency is not None
    assert manifest.latency.batch == 1
    assert manifest.latency.engine_ms > 0
    assert manifest.latency.eager_fp32_ms > 0
    assert left_in(engine_directory) == ["manifest.json", "model.onnx"]
    assert left_in(engine_directory.parent) == [engine_directory.name]
    json.dumps(manifest.parity, allow_nan=False)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_cpu_engines_say_what_they_store_and_what_they_execute(
    bundle: Path, tiny_data: Path, tmp_path: Path, backend: Any, precision: Any
) -> None:
    options = BuildOptions(backend, precision, SMALL, data=tiny_data, pixels=True)
    manifest = build(bundle, tmp_path / "engine", options, silent)
    assert manifest.precision.stored == manifest.precision.asked == precision
    executed = "int8" if (backend, precision) == ("openvino", "int8") else "fp32"
    assert manifest.precision.executed == executed
    with open_engine(tmp_path / "engine") as engine:
        pictures = engine.infer(np.full((2, 64, 64, 3), 128, np.uint8))
    assert pictures.shape == (2, 64, 64, 3)
    assert pictures.dtype == np.uint8


def test_an_existing_engine_is_kept(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "engine"
    out.mkdir()
    with pytest.raises(UserError, match="engine exists: give another --out, or remove it to build again"):
        build(bundle, out, BuildOptions(), silent)
    assert left_in(tmp_path) == ["engine"]


def test_an_engine_that_differs_is_not_kept(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(limner.deploy.parity.TOLERANCES, "fp32", Tolerance(max_abs=0.0))
    with pytest.raises(LimnerError, match="engine and bundle at batch 1 differ") as error:
        build(bundle, tmp_path / "engine", BuildOptions(backend="openvino", batch=SMALL), silent)
    assert error.value.exit_code == 1
    assert left_in(tmp_path) == []


def test_an_engine_of_another_precision_is_not_kept(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenVinoTarget, "executed", lambda self, work: "bf16")
    with pytest.raises(LimnerError, match="asked for fp32, but most convolutions of the engine run in bf16"):
        build(bundle, tmp_path / "engine", BuildOptions(backend="openvino", batch=SMALL), silent)
    assert left_in(tmp_path) == []


def test_an_unproven_precision_is_said_aloud(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVinoTarget, "executed", lambda self, work: "unknown")
    said: list[str] = []
    manifest = build(bundle, tmp_path / "engine", BuildOptions(backend="openvino", batch=SMALL), said.append)
    assert manifest.precision.executed == "unknown"
    assert "warning: the engine's own report names no types, so that it runs in fp32 is not proven" in said


def test_a_gpu_engine_is_proven_twice_graph_and_plan(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, device: module)  # the timing's move to the GPU
    monkeypatch.setattr(OpenVinoTarget, "device_type", "cuda")
    manifest = build(bundle, tmp_path / "engine", BuildOptions(backend="openvino", batch=SMALL), said.append)
    assert isinstance(manifest.parity, dict)
    assert manifest.onnx_parity is not None
    assert set(manifest.onnx_parity["batches"]) == set(manifest.parity["batches"]) == {"1", "2", "3"}
    assert [line for line in said if line.startswith("comparing")] == [
        "comparing the ONNX graph with the bundle at batch 1, 2, 3",
        "comparing the engine with the bundle at batch 1, 2, 3",
    ]


def test_what_a_killed_build_left_is_no_hindrance(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / ".engine.new").mkdir()
    (tmp_path / ".engine.new" / "model.onnx").write_bytes(b"half")
    build(bundle, tmp_path / "engine", BuildOptions(backend="onnxruntime", batch=(2, 2, 2)), silent)
    assert left_in(tmp_path) == ["engine"]
    assert "batch_invariance" not in read_manifest(tmp_path / "engine").parity


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"backend": "onnxruntime", "precision": "bf16"},
            "onnxruntime has no bf16 convolution on CPUs: take fp32",
        ),
        (
            {"backend": "openvino", "tensorrt": TensorRTOptions(bare=True)},
            r"tensorrt.\*: openvino has no such options: leave them out",
        ),
        ({"backend": "openvino", "precision": "int8"}, "int8 needs photos to find its ranges: give --data"),
        ({"model": Path("nowhere")}, r"nowhere: not a model bundle .* give the model/ directory of a finished run"),
    ],
)
def test_requests_that_cannot_be_met(bundle: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"batch": SMALL} | changes
    model = options.pop("model", bundle)
    with pytest.raises(UserError, match=message):
        build(model, tmp_path / "engine", BuildOptions(**options), silent)
    assert left_in(tmp_path) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("backend", ["tensorrt", "torch-tensorrt"])
def test_no_driver(bundle: Path, tmp_path: Path, backend: Any) -> None:
    with pytest.raises(UserError, match=rf"backend {backend}: no NVIDIA GPU or driver .* take --backend openvino, or"):
        build(bundle, tmp_path / "engine", BuildOptions(backend), silent)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("gpu", "installed", "expected"),
    [
        (False, True, ("openvino", "fp32")),
        (True, True, ("tensorrt", "fp16")),
        (True, False, ("openvino", "fp32")),
    ],
)
def test_auto(monkeypatch: pytest.MonkeyPatch, gpu: bool, installed: bool, expected: tuple[str, str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if installed else None)
    said: list[str] = []
    assert resolve(BuildOptions(), said.append) == expected
    assert resolve(BuildOptions("tensorrt-rtx", "int8"), said.append) == ("tensorrt-rtx", "int8")
    unused = ["there is a GPU but no TensorRT, so the engine is for OpenVINO on the CPU: pip install 'limner[gpu]'"]
    assert said == (unused if gpu and not installed else [])
