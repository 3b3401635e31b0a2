from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto
from torch import nn

from limner.core.batch import to_images, to_tensor
from limner.core.signature import Signature
from limner.deploy.graph.export import FLOAT_NORMS, check_onnx, to_half, with_pixels
from limner.deploy.inputs import random_inputs

Array = npt.NDArray[Any]
GetCase = Callable[[str], tuple[nn.Module, Signature, ModelProto]]

every_case = pytest.mark.parametrize("name", ["instance", "batch", "styled", "paper", "modern"])


def run(model: ModelProto, inputs: dict[str, Array]) -> Array:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: Array = session.run(None, inputs)[0]
    return result


def inputs_and_picture(generator: nn.Module, signature: Signature, batch: int) -> tuple[dict[str, Array], Array]:
    inputs = random_inputs(signature, batch, seed=7)
    return {name: value.numpy() for name, value in inputs.items()}, generator(*inputs.values()).numpy()


@every_case
@pytest.mark.parametrize("batch", [1, 3])
def test_graph_is_the_generator_at_any_batch(case: GetCase, name: str, batch: int) -> None:
    generator, signature, graph = case(name)
    inputs, expected = inputs_and_picture(generator, signature, batch)
    assert expected.std() > 0.05  # a flat picture would prove nothing
    np.testing.assert_allclose(run(graph, inputs), expected, atol=2e-5)


@every_case
def test_graph_has_the_signatures_ports_and_opset(case: GetCase, name: str) -> None:
    _, signature, graph = case(name)
    assert [port.name for port in graph.graph.input] == [port.name for port in signature.inputs]
    assert [port.name for port in graph.graph.output] == [signature.output.name]
    assert graph.opset_import[0].version == 18
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@every_case
def test_graph_tells_nothing_of_the_machine_it_was_made_on(case: GetCase, name: str) -> None:
    text = str(case(name)[2].SerializeToString())
    assert "site-packages" not in text
    assert ".py" not in text


def test_batch_norms_are_folded_into_convolutions(case: GetCase) -> None:
    assert "BatchNormalization" not in {node.op_type for node in case("batch")[2].graph.node}


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
def test_half_graph_draws_nearly_the_same(case: GetCase, name: str) -> None:
    generator, signature, graph = case(name)
    inputs, expected = inputs_and_picture(generator, signature, 2)
    apart = np.abs(run(to_half(graph), inputs) - expected).max()
    assert 0.0 < apart < 0.02


def test_rewrites_leave_the_graph_they_are_given_alone(case: GetCase) -> None:
    graph = case("instance")[2]
    before = graph.SerializeToString(deterministic=True)
    with_pixels(to_half(graph))
    assert graph.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("half", [False, True])
@every_case
def test_pixels_in_the_graph_are_the_image_contract(case: GetCase, name: str, half: bool) -> None:
    generator, signature, graph = case(name)
    inputs, _ = inputs_and_picture(generator, signature, 2)
    floats = dict(inputs)
    if "photo" in inputs:
        inputs["photo"] = to_images(torch.from_numpy(inputs["photo"]))
        floats["photo"] = to_tensor(inputs["photo"]).numpy()
    graph = to_half(graph) if half else graph
    pixels = with_pixels(graph)
    check_onnx(pixels)
    pictures = run(pixels, inputs)
    assert pictures.dtype == np.uint8
    expected = to_images(torch.from_numpy(run(graph, floats)))
    assert np.abs(pictures.astype(int) - expected).max() <= 1  # a value on the boundary may fall to either side
    assert (pictures == expected).mean() > 0.999
