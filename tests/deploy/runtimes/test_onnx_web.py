import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from limner.core.bundle import save_bundle
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.build import build
from limner.deploy.engine import open_engine
from limner.deploy.graph.export import save_onnx
from limner.deploy.graph.int8 import quantise
from limner.deploy.graph.static import fix_batch
from limner.deploy.manifest import GRAPH
from limner.deploy.options import BuildOptions
from limner.deploy.parity import Tolerance, difference
from limner.deploy.runtimes.onnx_web import NodeRuntime, OnnxWebBuilder
from limner.deploy.runtimes.onnxruntime import OnnxRuntime
from tests.deploy.conftest import bundle_config


def _installed() -> bool:
    try:
        OnnxWebBuilder(threads=0)
    except UserError:
        return False
    return True


needs_package = pytest.mark.skipif(not _installed(), reason="npm install onnxruntime-web (and NODE_PATH, if elsewhere)")


@pytest.fixture
def styled(case: Callable[[str], tuple[Any, Any, ModelProto]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle with styles, whose export and timing are quick."""
    generator, _, graph = case("styled")
    monkeypatch.setattr("limner.deploy.graph.assemble.export_onnx", lambda generator, signature: graph)
    monkeypatch.setattr("limner.deploy.build.measure_latency", lambda engine, eager, inputs: None)
    save_bundle(tmp_path / "model", generator, bundle_config("styled"))
    return tmp_path / "model"


@needs_package
@pytest.mark.parametrize(("precision", "pixels"), [("fp32", False), ("fp16", True)])
def test_a_batch_runs_image_by_image_in_wasm(styled: Path, tmp_path: Path, precision: Any, pixels: bool) -> None:
    out = tmp_path / "engine"
    options = BuildOptions("onnx-web", precision, (1, 1, 3), pixels=pixels, threads=1)
    manifest = build(styled, out, options, lambda line: None)
    assert manifest.parity is not None
    assert set(manifest.parity["batches"]) == {"1", "2", "3"}
    assert manifest.precision.executed == "fp32"
    assert manifest.options == {"threads": 1}
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", GRAPH]
    ports = onnx.load_model(str(out / GRAPH)).graph
    assert [port.type.tensor_type.shape.dim[0].dim_value for port in (*ports.input, *ports.output)] == [1, 1, 1]
    photos = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    with open_engine(out) as engine:
        images = engine.infer(photos, np.arange(3))
        for i in range(3):
            np.testing.assert_array_equal(engine.infer(photos[i : i + 1], np.array([i])), images[i : i + 1])
        assert (images[0] != engine.infer(photos[:1], np.array([1]))[0]).any()


@needs_package
def test_int8_is_that_of_onnx_runtime(case: Callable[[str], tuple[Any, Any, ModelProto]], tmp_path: Path) -> None:
    _, signature, graph = case("instance")
    inputs = {"photo": np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32)}
    save_onnx(quantise(graph, [inputs]), tmp_path / GRAPH)
    fix_batch(tmp_path / GRAPH)
    web, native = NodeRuntime(tmp_path / GRAPH, signature), OnnxRuntime(tmp_path / GRAPH)
    assert difference(web.run(inputs), native.run(inputs)).within(Tolerance(min_ssim=0.99))
    web.close()


@needs_package
def test_a_reader_may_be_slow(case: Callable[[str], tuple[Any, Any, ModelProto]], tmp_path: Path) -> None:
    """A pipe holds 64 KiB, and an image here has 48: the second waits until the first is read."""
    _, signature, graph = case("instance")
    save_onnx(graph, tmp_path / GRAPH)
    fix_batch(tmp_path / GRAPH)
    photos = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 64)).astype(np.float32)
    runtime = NodeRuntime(tmp_path / GRAPH, signature, threads=2)  # workers make stdout non-blocking
    images = runtime.run({"photo": photos})
    runtime.process.stdin.write(photos.tobytes())  # type: ignore[union-attr]
    runtime.process.stdin.flush()  # type: ignore[union-attr]
    time.sleep(1.0)
    assert runtime.process.stdout.read(images.nbytes) == images.tobytes()  # type: ignore[union-attr]
    runtime.close()


@needs_package
def test_a_damaged_graph_is_explained(case: Callable[[str], tuple[Any, Any, ModelProto]], tmp_path: Path) -> None:
    (tmp_path / GRAPH).write_bytes(b"no graph")
    with pytest.raises(LimnerError, match=r"onnxruntime-web: Error: .*protobuf"):
        NodeRuntime(tmp_path / GRAPH, case("instance")[1])


@pytest.mark.skipif(shutil.which("node") is None, reason="apt-get install nodejs npm")
def test_a_missing_package_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NODE_PATH", raising=False)
    with pytest.raises(UserError) as error:
        OnnxWebBuilder(threads=0)
    assert str(error.value) == (
        "backend onnx-web: no onnxruntime-web in node_modules here, in a directory above, or in NODE_PATH: "
        "npm install onnxruntime-web"
    )


def test_a_missing_node_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"no Node.js .* install it, then: npm install onnxruntime-web"):
        OnnxWebBuilder(threads=0)


def test_bf16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    process = SimpleNamespace(communicate=lambda: None)
    monkeypatch.setattr("limner.deploy.runtimes.onnx_web._start", lambda: (process, "1.30.0"))
    with pytest.raises(UserError, match=r"precision bf16: onnxruntime-web has no bf16 .* take fp32, fp16 or int8"):
        OnnxWebBuilder(threads=0).check_precision("bf16")
