from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from onnx import ModelProto, numpy_helper
from torch import nn

from limner.core.signature import Signature
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.graph.export import check_onnx
from limner.deploy.graph.int8 import CONVOLUTIONS, quantise
from limner.deploy.inputs import random_inputs
from limner.deploy.parity import TOLERANCES, difference
from limner.deploy.runtimes.openvino.runner import OpenVinoRuntime
from tests.deploy.conftest import CONFIGS

GetCase = Callable[[str], tuple[nn.Module, Signature, ModelProto]]


@pytest.fixture(scope="module", params=list(CONFIGS))
def quantised(case: GetCase, request: pytest.FixtureRequest) -> tuple[nn.Module, Signature, ModelProto]:
    generator, signature, graph = case(request.param)
    inputs = {name: value.numpy() for name, value in random_inputs(signature, 8, seed=3).items()}
    return generator, signature, quantise(graph, [inputs])


def test_ranges_are_symmetric_and_weights_per_channel(quantised: tuple[nn.Module, Signature, ModelProto]) -> None:
    graph = quantised[2].graph
    check_onnx(quantised[2])
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        zero = values[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
    produced = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type in CONVOLUTIONS]
    assert "DequantizeLinear" not in {produced[name].op_type for name in convolutions[0].input if name in produced}
    for node in convolutions[1:]:
        weight = produced[node.input[1]]
        assert weight.op_type == "DequantizeLinear"
        assert values[weight.input[1]].ndim == 1
        assert np.abs(values[weight.input[0]].astype(int)).max() <= 64  # 7 bits
        assert produced[node.input[0]].op_type == "DequantizeLinear"
        assert node.input[2] not in produced if len(node.input) > 2 else True  # biases stay in fp32


def test_one_graph_serves_both_runtimes(quantised: tuple[nn.Module, Signature, ModelProto], tmp_path: Path) -> None:
    generator, signature, graph = quantised
    tensors = random_inputs(signature, 4, seed=9)
    inputs: dict[str, npt.NDArray[Any]] = {name: value.numpy() for name, value in tensors.items()}
    expected = generator(*tensors.values()).numpy()
    data = graph.SerializeToString()
    onnx_image = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, inputs)[0]
    (tmp_path / "int8.onnx").write_bytes(data)
    known, free = (OpenVinoRuntime(tmp_path / "int8.onnx", "int8", BatchProfile(1, size, 8)) for size in (4, 2))
    for image in (onnx_image, known.run(inputs), free.run(inputs)):
        apart = difference(image, expected)
        assert apart.psnr_db > TOLERANCES["int8"].min_psnr_db  # SSIM is for trained weights
        assert apart.max_abs > 1e-4  # it did quantise
