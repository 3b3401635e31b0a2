"""A graph with uint8 images as inputs and outputs."""

import copy

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from limner.deploy.graph.nodes import make_cast, make_node, rename_tensor, replace_nodes


def with_uint8_io(model: ModelProto) -> ModelProto:
    """Rewrite images at inputs and outputs to (N, H, W, C) uint8, from (N, C, H, W) float in [-1, 1].

    The arithmetic of core.images, in fp32 whatever lies between: x / 127.5 - 1 at inputs; round((x + 1) * 127.5),
    clipped to 0-255, at outputs. Ports that are no images stay as they are.
    """
    rewritten = copy.deepcopy(model)
    graph = rewritten.graph
    constants = {"half_range": 127.5, "one": 1.0, "black": 0.0, "white": 255.0}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), f"pixel_{name}"))
    nodes: list[NodeProto] = []
    for port in graph.input:
        if len(port.type.tensor_type.shape.dim) != 4:
            continue
        name = port.name
        # The cast comes first: TensorRT does not transpose uint8 tensors.
        nodes += [
            make_cast(name, f"{name}_float", TensorProto.FLOAT),
            make_node("Transpose", f"{name}_planes", f"{name}_float", perm=[0, 3, 1, 2]),
            make_node("Div", f"{name}_scaled", f"{name}_planes", "pixel_half_range"),
            make_node("Sub", f"{name}_centred", f"{name}_scaled", "pixel_one"),
        ]
        for node in graph.node:
            for i, given in enumerate(node.input):
                node.input[i] = f"{name}_centred" if given == name else given
        _declare_uint8(port)
    nodes.extend(graph.node)
    for port in graph.output:
        name = port.name
        rename_tensor(nodes, name, f"{name}_centred")
        nodes += [
            make_node("Add", f"{name}_positive", f"{name}_centred", "pixel_one"),
            make_node("Mul", f"{name}_scaled", f"{name}_positive", "pixel_half_range"),
            make_node("Round", f"{name}_whole", f"{name}_scaled"),
            make_node("Clip", f"{name}_clipped", f"{name}_whole", "pixel_black", "pixel_white"),
            make_node("Transpose", f"{name}_picture", f"{name}_clipped", perm=[0, 2, 3, 1]),
            make_cast(f"{name}_picture", name, TensorProto.UINT8),
        ]
        _declare_uint8(port)
    replace_nodes(rewritten, nodes)
    return rewritten


def _declare_uint8(port: ValueInfoProto) -> None:
    """NCHW float -> NHWC uint8 in a port's declaration."""
    tensor = port.type.tensor_type
    batch, channels, height, width = (copy.deepcopy(dim) for dim in tensor.shape.dim)
    tensor.elem_type = TensorProto.UINT8
    del tensor.shape.dim[:]
    tensor.shape.dim.extend([batch, height, width, channels])
