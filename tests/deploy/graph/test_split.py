from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from limner.core.signature import Port, Signature
from limner.deploy.graph.export import check_onnx, export_onnx
from limner.deploy.graph.int8 import clip_concat_relus
from limner.deploy.graph.split import split_transposed
from limner.deploy.inputs import random_inputs
from tests.deploy.conftest import CONFIGS

GetCase = Callable[[str], tuple[nn.Module, Signature, ModelProto]]


def kinds(model: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def assert_same_function(ours: ModelProto, reference: ModelProto, signature: Signature, atol: float = 2e-6) -> None:
    check_onnx(ours)
    inputs = {name: value.numpy() for name, value in random_inputs(signature, 3, seed=2).items()}
    image, expected = (
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, inputs)[0]
        for model in (ours, reference)
    )
    np.testing.assert_allclose(image, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("name", CONFIGS)
def test_it_stays_the_same_function(case: GetCase, name: str) -> None:
    _, signature, graph = case(name)
    before = graph.SerializeToString()
    split = clip_concat_relus(split_transposed(graph))
    assert graph.SerializeToString() == before
    assert_same_function(split, graph, signature)


def test_transposed_convolutions_are_split_and_relus_of_concatenations_clipped(case: GetCase) -> None:
    before = kinds(case("batch")[2])
    after = kinds(clip_concat_relus(split_transposed(case("batch")[2])))
    assert before["ConvTranspose"] == 5
    assert after["ConvTranspose"] == 0
    assert after["Conv"] == before["Conv"] + 4 * 5
    assert after["Clip"] == 4  # the innermost level has no skip
    assert after["Relu"] == before["Relu"] - 4
    first = kinds(split_transposed(case("paper")[2]))
    assert first["ConvTranspose"] == 1  # from a latent to 4x4 without a stride
    assert first["DepthToSpace"] == kinds(case("paper")[2])["ConvTranspose"] - 1


def test_graphs_without_either_stay_as_they_are(case: GetCase) -> None:
    graph = case("modern")[2]
    assert clip_concat_relus(split_transposed(graph)).graph == graph.graph


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1, "output_padding": 1},
        {"kernel_size": 2, "padding": 0},
        {"kernel_size": 4, "padding": 1, "groups": 2},
        {"kernel_size": 4, "padding": 1, "output_padding": 1},
        {"kernel_size": 4, "padding": 2},
    ],
)
def test_other_transposed_convolutions_are_left_alone(options: dict[str, Any]) -> None:
    layer = nn.ConvTranspose2d(4, 6, stride=2, **options).eval().requires_grad_(False)
    side = layer(torch.zeros(1, 4, 8, 8)).shape[-1]
    signature = Signature((Port("photo", (4, 8, 8), "float32"),), Port("image", (6, side, side), "float32"))
    graph = export_onnx(layer, signature)
    assert kinds(split_transposed(graph)) == kinds(graph)


def test_defaults_may_be_left_out() -> None:
    """torch's exporter writes every attribute, other writers only what differs from the standard's default."""
    layer = nn.ConvTranspose2d(4, 6, 4, 2, 1, bias=False).eval().requires_grad_(False)
    signature = Signature((Port("photo", (4, 8, 8), "float32"),), Port("image", (6, 16, 16), "float32"))
    graph = export_onnx(layer, signature)
    node = next(node for node in graph.graph.node if node.op_type == "ConvTranspose")
    kept = [each for each in node.attribute if each.name in ("kernel_shape", "strides", "pads")]
    bare = helper.make_node("ConvTranspose", node.input, node.output, name=node.name)
    bare.attribute.extend(kept)
    node.CopyFrom(bare)
    assert_same_function(split_transposed(graph), graph, signature)
    assert kinds(split_transposed(graph))["Conv"] == 4


def transposed(kernel: str, image: str, output: str, **more: Any) -> NodeProto:
    return helper.make_node(
        "ConvTranspose", [image, kernel], [output], kernel_shape=[4, 4], strides=[2, 2], pads=[1, 1, 1, 1], **more
    )


def graph_of(nodes: list[NodeProto], side: int = 8, kernel_in: str = "initializer") -> ModelProto:
    """(N, 4, 8, 8) `photo` to (N, 4, side, side) `image`, the kernel "w" (4, 4, 4, 4) an initialiser or a constant."""
    kernel = numpy_helper.from_array(np.random.default_rng(0).normal(size=(4, 4, 4, 4)).astype(np.float32), "w")
    if kernel_in == "constant":
        nodes = [helper.make_node("Constant", [], ["w"], value=kernel), *nodes]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("photo", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4, side, side])],
        [kernel] if kernel_in == "initializer" else [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def small_signature(side: int) -> Signature:
    return Signature((Port("photo", (4, 8, 8), "float32"),), Port("image", (4, side, side), "float32"))


def test_a_kernel_may_be_shared_and_nodes_without_names() -> None:
    graph = graph_of([transposed("w", "photo", "twice"), transposed("w", "twice", "image")], side=32)
    split = split_transposed(graph)
    assert kinds(split) == {"Conv": 8, "Concat": 2, "DepthToSpace": 2}
    assert len({node.name for node in split.graph.node}) == len(split.graph.node)
    assert {tensor.name for tensor in split.graph.initializer} == {"w_00", "w_01", "w_10", "w_11"}
    assert_same_function(split, graph, small_signature(32), atol=1e-3)


def test_a_kernel_that_something_else_reads_stays() -> None:
    conv = helper.make_node("Conv", ["photo", "w"], ["half"], kernel_shape=[4, 4], strides=[2, 2], pads=[1, 1, 1, 1])
    graph = graph_of([conv, transposed("w", "half", "image")])
    split = split_transposed(graph)
    assert "w" in {tensor.name for tensor in split.graph.initializer}
    assert_same_function(split, graph, small_signature(8), atol=1e-4)


def test_a_computed_kernel_or_an_asked_for_size_is_left_alone() -> None:
    for graph in (
        graph_of([transposed("w", "photo", "image")], side=16, kernel_in="constant"),
        graph_of([transposed("w", "photo", "image", output_shape=[15, 15])], side=15),
    ):
        assert kinds(split_transposed(graph)) == kinds(graph)
