import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto

import limner.deploy.graph.assemble
import limner.deploy.latency
import limner.deploy.parity
from limner.core.bundle import bundle_hash, save_bundle
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.build import build, resolve
from limner.deploy.engine import open_engine
from limner.deploy.manifest import read_manifest
from limner.deploy.options import BuildOptions
from limner.deploy.parity import Tolerance
from limner.deploy.runtimes.openvino.builder import OpenVinoBuilder
from limner.deploy.trt.options import TensorRTOptions
from tests.deploy.conftest import bundle_config

SMALL = (1, 2, 3)


@pytest.fixture(autouse=True)
def exported(case: Callable[[str], tuple[Any, Any, ModelProto]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle's own graph, without the seconds that each export takes; `engine_directory` is really exported."""
    monkeypatch.setattr(limner.deploy.latency, "BUDGET", replace(limner.deploy.latency.BUDGET, max_repeats=10))
    monkeypatch.setattr(limner.deploy.graph.assemble, "export_onnx", lambda generator, signature: case("instance")[2])


def silent(line: str) -> None:
    """Instead of print."""


def left_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_an_engine_comes_with_its_parity(engine_directory: Path, bundle: Path) -> None:
    manifest = read_manifest(engine_directory)
    assert manifest.source.bundle_hash == bundle_hash(bundle)
    assert (manifest.source.task, manifest.source.image_size, manifest.source.fit) == ("pix2pix", 64, "pad")
    assert (manifest.backend, manifest.batch) == ("openvino", BatchProfile(1, 2, 4))
    assert manifest.precision.requested == manifest.precision.stored == manifest.precision.executed == "fp32"
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
    assert manifest.precision.stored == manifest.precision.requested == precision
    executed = "int8" if (backend, precision) == ("openvino", "int8") else "fp32"
    assert manifest.precision.executed == executed
    with open_engine(tmp_path / "engine") as engine:
        images = engine.infer(np.full((2, 64, 64, 3), 128, np.uint8))
    assert images.shape == (2, 64, 64, 3)
    assert images.dtype == np.uint8


@pytest.mark.parametrize(("name", "precision"), [("grey", "int8"), ("resnet", "fp32")])
def test_generators_of_other_kinds(
    case: Callable[[str], tuple[Any, Any, ModelProto]],
    monkeypatch: pytest.MonkeyPatch,
    tiny_data: Path,
    tmp_path: Path,
    name: str,
    precision: Any,
) -> None:
    generator, _, graph = case(name)
    save_bundle(tmp_path / "model", generator, bundle_config(name))
    monkeypatch.setattr(limner.deploy.graph.assemble, "export_onnx", lambda generator, signature: graph)
    options = BuildOptions("openvino", precision, SMALL, data=tiny_data, pixels=True)
    manifest = build(tmp_path / "model", tmp_path / "engine", options, silent)
    assert manifest.parity is not None
    assert manifest.precision.executed == precision


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
    monkeypatch.setattr(OpenVinoBuilder, "executed_precision", lambda self, job: "bf16")
    with pytest.raises(LimnerError, match="requested fp32, but most convolutions of the engine run in bf16"):
        build(bundle, tmp_path / "engine", BuildOptions(backend="openvino", batch=SMALL), silent)
    assert left_in(tmp_path) == []


def test_an_unknown_precision_is_reported(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVinoBuilder, "executed_precision", lambda self, job: None)
    lines: list[str] = []
    manifest = build(bundle, tmp_path / "engine", BuildOptions(backend="openvino", batch=SMALL), lines.append)
    assert manifest.precision.executed is None
    assert "warning: the engine's own report names no types: whether it runs in fp32 is unknown" in lines


def test_a_gpu_engine_is_compared_twice_graph_and_plan(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, device: module)  # the timing's move to the GPU
    monkeypatch.setattr(OpenVinoBuilder, "device_type", "cuda")
    manifest = build(bundle, tmp_path / "engine", BuildOptions(backend="openvino", batch=SMALL), lines.append)
    assert isinstance(manifest.parity, dict)
    assert manifest.onnx_parity is not None
    assert set(manifest.onnx_parity["batches"]) == set(manifest.parity["batches"]) == {"1", "2", "3"}
    assert [line for line in lines if line.startswith("comparing")] == [
        "comparing the ONNX graph with the bundle at batch 1, 2, 3",
        "comparing the engine with the bundle at batch 1, 2, 3",
    ]


def test_what_a_killed_build_left_is_removed(bundle: Path, tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f".engine.{socket.gethostname()}-{dead.pid}.partial"
    left.mkdir()
    (left / "model.onnx").write_bytes(b"half")
    build(bundle, tmp_path / "engine", BuildOptions(backend="onnxruntime", batch=(2, 2, 2)), silent)
    assert left_in(tmp_path) == ["engine"]
    parity = read_manifest(tmp_path / "engine").parity
    assert parity is not None
    assert "batch_invariance" not in parity


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"backend": "onnxruntime", "precision": "bf16"},
            "onnxruntime has no bf16 convolution on CPUs: take fp32",
        ),
        (
            {"backend": "openvino", "tensorrt": TensorRTOptions(bare=True)},
            r"tensorrt.bare: openvino has no such option \(those that have it: torch-tensorrt\): leave it out",
        ),
        (
            {"backend": "tensorrt", "threads": 2},
            r"threads: tensorrt has no such option \(.* openvino, onnxruntime, onnx-web, ncnn\)",
        ),
        ({"backend": "tensorrt-rtx", "hint": "latency"}, "hint: tensorrt-rtx has no such option"),
        ({"backend": "torch-tensorrt", "pixels": True}, "pixels: torch-tensorrt has no such option"),
        ({"backend": "openvino", "threads": -1}, r"threads -1: must be 0 \(the runtime chooses\) or more"),
        ({"backend": "openvino", "precision": "int8"}, "int8 needs photos to find its ranges: give --data"),
        ({"model": Path("nowhere")}, r"nowhere: not a model bundle .* give a finished run or its model/ directory"),
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
    lines: list[str] = []
    assert resolve(BuildOptions(), lines.append) == expected
    assert resolve(BuildOptions("tensorrt-rtx", "int8"), lines.append) == ("tensorrt-rtx", "int8")
    unused = ["there is a GPU but no TensorRT, so the engine is for OpenVINO on the CPU: pip install 'limner[gpu]'"]
    assert lines == (unused if gpu and not installed else [])
