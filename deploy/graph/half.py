"""An fp32 graph in half precision."""

import copy

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from limner.deploy.graph.nodes import make_cast, rename_tensor, replace_nodes

FLOAT_NORMS = ("InstanceNormalization", "BatchNormalization")
"""Operators that stay in fp32 in a half graph: sums over a whole plane overflow or lose digits in fp16."""
FLOAT_PARAMETERS = (*FLOAT_NORMS, "Resize")
"""Operators whose inputs after the first stay in fp32; Resize's scales are so by definition."""


def to_half(model: ModelProto) -> ModelProto:
    """Rewrite to half weights and arithmetic; norms in fp32 between casts, and fp32 inputs and outputs as before.

    One rewrite of the fp32 graph rather than an export of a half module: batch norms are folded into convolutions
    in fp32 before their weights are rounded.
    """
    half = copy.deepcopy(model)
    graph = half.graph
    kept = {name for node in graph.node if node.op_type in FLOAT_PARAMETERS for name in node.input[1:]}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    nodes: list[NodeProto] = []
    renamed: dict[str, str] = {}
    for port in graph.input:
        if port.type.tensor_type.elem_type == TensorProto.FLOAT:
            renamed[port.name] = f"{port.name}_half"
            nodes.append(make_cast(port.name, renamed[port.name], TensorProto.FLOAT16))
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        if node.op_type in FLOAT_NORMS:
            nodes.extend(_in_float(node))
            continue
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            elif attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float16)))
        nodes.append(node)
    for port in graph.output:
        rename_tensor(nodes, port.name, f"{port.name}_half")
        nodes.append(make_cast(f"{port.name}_half", port.name, TensorProto.FLOAT))
    replace_nodes(half, nodes)
    return half


def _in_float(node: NodeProto) -> list[NodeProto]:
    """A norm between a cast of its first input to fp32 and one of its output back to half."""
    before, after = f"{node.input[0]}_for_{node.name}", f"{node.output[0]}_float"
    casts = (
        make_cast(node.input[0], before, TensorProto.FLOAT),
        make_cast(after, node.output[0], TensorProto.FLOAT16),
    )
    node.input[0], node.output[0] = before, after
    return [casts[0], node, casts[1]]
