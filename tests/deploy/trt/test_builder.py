import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from onnx import ModelProto
from torch import nn

from limner.core.signature import Signature
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.build import build
from limner.deploy.graph.export import save_onnx
from limner.deploy.graph.half import to_half
from limner.deploy.graph.int8 import quantise
from limner.deploy.graph.uint8 import with_uint8_io
from limner.deploy.inputs import random_inputs
from limner.deploy.manifest import read_manifest
from limner.deploy.options import BuildOptions
from limner.deploy.trt.builder import TensorRTBuilder, attach_timing_cache, build_plan, layer_precision
from limner.deploy.trt.options import TensorRTOptions
from tests.deploy.conftest import CONFIGS

GetCase = Callable[[str], tuple[nn.Module, Signature, ModelProto]]

TO_32 = BatchProfile(1, 8, 32)


@pytest.fixture(scope="session")
def rtx() -> ModuleType:
    module: ModuleType = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    return module


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", CONFIGS)
def test_rtx_builds_every_generator(case: GetCase, rtx: ModuleType, tmp_path: Path, name: str, precision: str) -> None:
    _, signature, graph = case(name)
    if precision == "fp16":
        graph = to_half(graph)
    elif precision == "int8":
        graph = quantise(graph, [{name: value.numpy() for name, value in random_inputs(signature, 4, 0).items()}])
    save_onnx(graph, tmp_path / "model.onnx")
    assert len(build_plan("tensorrt-rtx", tmp_path / "model.onnx", signature, TO_32, TensorRTOptions())) > 10_000


def test_rtx_builds_with_uint8_io(case: GetCase, rtx: ModuleType, tmp_path: Path) -> None:
    _, signature, graph = case("styled")
    save_onnx(with_uint8_io(to_half(graph)), tmp_path / "model.onnx")
    assert build_plan("tensorrt-rtx", tmp_path / "model.onnx", signature.as_uint8(), TO_32, TensorRTOptions())


@pytest.mark.parametrize("option", ["refit", "strip_plan"])
def test_rtx_refits_on_a_gpu_only(rtx: ModuleType, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="tensorrt-rtx needs a GPU for these: leave them out"):
        TensorRTBuilder("tensorrt-rtx", TensorRTOptions(**{option: True}))  # type: ignore[arg-type]


class FakeConfig:
    """As much of IBuilderConfig as a timing cache is attached to; takes only what `accepts` says."""

    def __init__(self, accepts: tuple[bytes, ...]) -> None:
        self.accepts = accepts
        self.attached: bytes | None = None

    def create_timing_cache(self, stored: bytes) -> bytes | None:
        return None if stored == b"damaged" else stored

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache in self.accepts:
            self.attached = cache
        return cache in self.accepts


@pytest.mark.parametrize(
    ("stored", "accepts", "expected", "replaced"),
    [
        (None, (b"",), b"", False),
        (b"mine", (b"", b"mine"), b"mine", False),
        (b"another GPU's", (b"",), b"", True),
        (b"damaged", (b"",), b"", True),
        (None, (), None, False),
    ],
)
def test_timing_caches_are_used_or_replaced(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    stored: bytes | None,
    accepts: tuple[bytes, ...],
    expected: bytes | None,
    replaced: bool,
) -> None:
    path = tmp_path / "caches" / "gpu"
    if stored is not None:
        path.parent.mkdir()
        path.write_bytes(stored)
    config = FakeConfig(accepts)
    assert attach_timing_cache(config, path) == config.attached == expected
    assert path.parent.is_dir()
    message = f"{path}: timings of another GPU or TensorRT version, or damaged: they are replaced\n"
    assert capsys.readouterr().out == (message if replaced else "")


def test_a_graph_that_is_refused_comes_with_the_parsers_message(case: GetCase, rtx: ModuleType, tmp_path: Path) -> None:
    _, signature, graph = case("instance")
    mixed = to_half(graph)
    for tensor in mixed.graph.initializer:  # one weight of another type: strongly typed networks take no mixture
        if len(tensor.dims) == 4:
            tensor.CopyFrom(next(given for given in graph.graph.initializer if given.name == tensor.name))
            break
    (tmp_path / "model.onnx").write_bytes(mixed.SerializeToString())
    with pytest.raises(LimnerError, match=r"tensorrt-rtx .* does not take .*model.onnx: .*must be of same type"):
        build_plan("tensorrt-rtx", tmp_path / "model.onnx", signature, TO_32, TensorRTOptions())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine can run the plan")
def test_without_a_gpu_the_onnx_graph_is_compared(bundle: Path, rtx: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "engine"
    build(bundle, out, BuildOptions(backend="tensorrt-rtx", batch=(1, 2, 4)), lambda line: None)
    manifest = read_manifest(out)
    assert (manifest.backend_version, manifest.parity, manifest.latency) == (rtx.__version__, None, None)
    assert manifest.precision.executed is None
    assert manifest.precision.stored == "fp16"
    assert manifest.onnx_parity is not None
    assert set(manifest.onnx_parity["batches"]) == {"1", "2", "3", "4"}
    assert set(manifest.files) == {"model.onnx", "engine.plan"}


def layer(name: str, inputs: str, outputs: str) -> dict[str, object]:
    return {
        "Name": name,
        "Inputs": [{"Name": "x", "Format/Datatype": inputs}],
        "Outputs": [{"Name": "y", "Format/Datatype": outputs}],
    }


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        ("Half", "Half", "fp16"),
        ("Channel major FP16 format where channel % 8 == 0", "Row major linear FP16 format", "fp16"),
        ("Row major linear FP32", "Row major linear FP32", "fp32"),
        ("Float", "Float", "fp32"),
        ("Thirty-two wide channel vectorized row major Int8 format", "Row major linear FP32", "int8"),
        ("BFloat16", "BFloat16", "bf16"),
        ("N/A due to dynamic shapes", "N/A due to dynamic shapes", None),
    ],
)
def test_precision_is_read_from_the_inspectors_report(inputs: str, outputs: str, expected: str | None) -> None:
    layers = [layer("reformat", "Float", "Half")] * 5 + [layer(f"node_Conv_{i}", inputs, outputs) for i in range(2)]
    assert layer_precision(json.dumps({"Layers": layers})) == expected


NO_FORMAT = "N/A due to dynamic shapes"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"Weights": {"Type": "Half", "Count": 9408}}, "fp16"),
        ({"Weights": {"Type": "Float", "Count": 9408}}, "fp32"),
        ({"Weights": {"Type": "Int8", "Count": 9408}}, "int8"),
        ({"TacticName": "sm80_xmma_fprop_implicit_gemm_f16f16_f16f32_f16_nhwckrsc_nhwc_tilesize64x64x32"}, "fp16"),
        ({"TacticName": "sm80_xmma_deconv_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc"}, "bf16"),
        ({"TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32_nchw_vect_c_32kcrs"}, "int8"),
        ({"TacticName": "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nhwc"}, "fp32"),
        ({"Inputs": [{"Name": "x", "DataType": "Half", "Format": "Row major linear"}]}, "fp16"),
        ({}, None),
    ],
)
def test_precision_of_dynamic_shapes_is_read_from_weights_and_kernels(
    facts: dict[str, Any], expected: str | None
) -> None:
    """Reports as TensorRT 10 (and, without the slash, 11) gives them for plans of a batch range."""
    reformat = layer("Reformatting CopyNode for Input Tensor 0 to node_Conv_1", "Float", "Half")
    convolution = layer("node_Conv_1 + node_Relu_2", NO_FORMAT, NO_FORMAT) | {
        "LayerType": "CaskConvolution",
        "ParameterType": "Convolution",
        "Bias": {"Type": "Float", "Count": 64},
        "TacticValue": "0x4749124f62d8bd23",
    }
    report = {"Layers": [*[reformat | {"LayerType": "Reformat"}] * 3, convolution | facts], "Bindings": ["photo"]}
    assert layer_precision(json.dumps(report)) == expected


def test_a_report_of_names_alone_has_no_precision() -> None:
    assert layer_precision(json.dumps({"Layers": ["node_Conv_1", "node_Conv_2"]})) is None
