from collections.abc import Callable

import numpy as np
from onnx import ModelProto, TensorProto
from torch import nn

from limner.core.signature import Signature
from limner.deploy.graph.export import check_onnx
from limner.deploy.graph.half import FLOAT_NORMS, to_half
from tests.deploy.graph.conftest import every_case, inputs_and_image, run

GetCase = Callable[[str], tuple[nn.Module, Signature, ModelProto]]


@every_case
def test_half_graph_stores_half_weights_and_keeps_norms_and_ports_in_fp32(case: GetCase, name: str) -> None:
    half = to_half(case(name)[2])
    check_onnx(half)
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    produced = {output: node for node in half.graph.node for output in node.output}
    convolutions = [node for node in half.graph.node if "Conv" in node.op_type]
    assert convolutions
    assert all(types[node.input[1]] == TensorProto.FLOAT16 for node in convolutions)
    for node in half.graph.node:
        if node.op_type in FLOAT_NORMS:
            assert produced[node.input[0]].op_type == "Cast"
            assert {types[parameter] for parameter in node.input[1:]} == {TensorProto.FLOAT}
    ports = [port for port in (*half.graph.input, *half.graph.output) if port.name != "style"]
    assert {port.type.tensor_type.elem_type for port in ports} == {TensorProto.FLOAT}


@every_case
def test_half_graph_generates_nearly_the_same(case: GetCase, name: str) -> None:
    generator, signature, graph = case(name)
    inputs, expected = inputs_and_image(generator, signature, 2)
    apart = np.abs(run(to_half(graph), inputs) - expected).max()
    assert 0.0 < apart < 0.02
