from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from onnx import ModelProto
from openvino import opset13

from limner.deploy.batch_profile import BatchProfile
from limner.deploy.graph.int8 import quantise
from limner.deploy.inputs import random_inputs
from limner.deploy.parity import difference
from limner.deploy.runtimes.openvino.rewrite import LEVELS, use_unsigned
from limner.deploy.runtimes.openvino.runner import OpenVinoRuntime
from tests.deploy.conftest import Case, run_openvino


def read(model: ModelProto) -> openvino.Model:
    return openvino.Core().read_model(model.SerializeToString())


def enlarged(x: openvino.Node, mode: str) -> openvino.Node:
    return opset13.interpolate(x, np.array([2.0, 2.0], np.float32), mode, "scales", axes=[2, 3])


@pytest.mark.parametrize("element", [np.float32, np.float16])
def test_a_tanh_is_replaced_by_the_same_function(tmp_path: Path, element: Any) -> None:
    x = opset13.parameter([1, 3, 8, 8], element, name="x")
    openvino.save_model(openvino.Model([opset13.tanh(x)], [x]), tmp_path / "tanh.xml", compress_to_fp16=False)
    runtime = OpenVinoRuntime(tmp_path / "tanh.xml", "fp32", BatchProfile(1, 1, 1))
    given = np.linspace(-12.0, 12.0, 192, dtype=element).reshape(1, 3, 8, 8)
    np.testing.assert_allclose(runtime.run({"x": given}), np.tanh(given), rtol=0, atol=2 * np.finfo(element).eps)
    kinds = {node.get_rt_info()["layerType"].value for node in runtime.compile(1).get_runtime_model().get_ordered_ops()}
    assert "Tanh" not in kinds


@pytest.mark.parametrize("name", ["instance", "batch", "styled", "paper"])
def test_unsigned_ranges_lose_less(case: Callable[[str], Case], name: str) -> None:
    """Twins: twice as many numbers for what lies behind a Relu bring the image nearer to that of fp32."""
    generator, signature, graph = case(name)
    calibration = {port: values.numpy() for port, values in random_inputs(signature, 8, seed=3).items()}
    given = random_inputs(signature, 4, seed=9)
    inputs = {port: values.numpy() for port, values in given.items()}
    signed, unsigned = (read(quantise(graph, [calibration])) for _ in range(2))
    tensors = use_unsigned(unsigned)
    assert tensors > 0
    expected = generator(*given.values()).numpy()
    after, before = (difference(run_openvino(model, inputs), expected).psnr_db for model in (unsigned, signed))
    assert after > before
    assert use_unsigned(unsigned) == 0, "what is unsigned stays as it is"


@pytest.mark.parametrize(
    ("activation", "unsigned"),
    [
        (opset13.relu, True),
        (lambda x: opset13.maximum(x, np.float32(0.0)), True),
        (lambda x: opset13.minimum(opset13.maximum(x, np.float32(0.0)), np.float32(9.0)), True),
        (lambda x: opset13.minimum(opset13.relu(x), np.float32(-1.0)), False),
        (lambda x: opset13.maximum(x, np.float32(-0.5)), False),
        (lambda x: opset13.prelu(x, np.float32(0.2)), False),
        (opset13.tanh, False),
        (lambda x: enlarged(opset13.relu(x), "nearest"), True),
        (lambda x: enlarged(opset13.relu(x), "linear_onnx"), True),
        (lambda x: enlarged(opset13.relu(x), "cubic"), False),
        (lambda x: enlarged(x, "nearest"), False),
    ],
)
def test_only_what_is_never_negative_becomes_unsigned(activation: Callable[[Any], Any], unsigned: bool) -> None:
    scale = np.float32(0.05)
    x = opset13.parameter([1, 1, 64, 64], np.float32, name="x")
    bounds = [np.float32(bound) for bound in (-128 * scale, 127 * scale, -128.0, 127.0)]
    quantised = opset13.fake_quantize(activation(x), *bounds, LEVELS)
    floats = opset13.convert(opset13.convert(quantised, "i8"), "f32")
    y = opset13.multiply(opset13.subtract(floats, np.float32(0.0)), scale)
    model = openvino.Model([y], [x])
    given = np.linspace(-6.3, 6.3, 4096, dtype=np.float32).reshape(1, 1, 64, 64)
    before = run_openvino(model, {"x": given})
    assert use_unsigned(model) == int(unsigned)
    after = run_openvino(model, {"x": given})
    np.testing.assert_allclose(after, before, rtol=0, atol=0.76 * 0.05)
    assert (len(np.unique(after)) > len(np.unique(before))) is unsigned
