"""A graph as int8 runtimes like it: plain convolutions for transposed ones, and no Relu that OpenVINO stumbles over.

Runtimes on CPUs leave transposed convolutions in fp32: ONNX Runtime all of them, OpenVINO those with many channels.
"""

import copy

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, helper, numpy_helper

from limner.deploy.graph.export import make_node, replace_nodes

DOUBLING = {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1]}
"""What a transposed convolution must be: the one of pix2pix and DCGAN, which doubles height and width."""
DEFAULTS = {"group": 1, "dilations": [1, 1], "output_padding": [0, 0], "auto_pad": b"NOTSET", "output_shape": None}
"""And what else it may say, but not otherwise."""
TAPS = ((3, 1), (2, 0))
"""Per phase, the kernel's elements that meet two neighbours: out[2i] = x[i-1] w[3] + x[i] w[1] and out[2i+1] =
x[i] w[2] + x[i+1] w[0]; from the definition of the transposed convolution, out[2j + k - 1] += x[j] w[k]."""

FLOOR = "relu_floor"
"""Name of the constant of a Clip."""


def split_doublings(model: ModelProto) -> ModelProto:
    """The graph with each doubling transposed convolution as four 2x2 convolutions, one a phase, and an interleaving.

    Every second row and column of its output is a plain convolution of its input with a quarter of its kernel, so the
    function and the number of multiplications stay the same.
    """
    split = copy.deepcopy(model)
    tensors = split.graph.initializer
    kernels = {tensor.name: tensor for tensor in model.graph.initializer}
    quarters: dict[str, npt.NDArray[np.float32]] = {}
    nodes: list[NodeProto] = []
    for node in split.graph.node:
        if node.op_type == "ConvTranspose" and node.input[1] in kernels and _doubles(node):
            quarters |= _quarters(node.input[1], numpy_helper.to_array(kernels[node.input[1]]))
            nodes.extend(_phases(node))
        else:
            nodes.append(node)
    replace_nodes(split, nodes)
    read = {name for node in split.graph.node for name in node.input}
    for place in reversed(range(len(tensors))):
        if tensors[place].name not in read:
            del tensors[place]
    tensors.extend(numpy_helper.from_array(values, name) for name, values in quarters.items())
    return split


def _doubles(node: NodeProto) -> bool:
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return all(given.get(name) == value for name, value in DOUBLING.items()) and all(
        given.get(name, value) == value for name, value in DEFAULTS.items()
    )


def _quarters(name: str, kernel: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
    """(I, O, 4, 4) -> four of (O, I, 2, 2) by name."""
    return {
        f"{name}_{row}{column}": np.ascontiguousarray(
            kernel[:, :, TAPS[row]][:, :, :, TAPS[column]].transpose(1, 0, 2, 3)
        )
        for row in (0, 1)
        for column in (0, 1)
    }


def _phases(node: NodeProto) -> list[NodeProto]:
    picture, kernel, *bias = node.input
    output = node.output[0]
    convolutions = [
        make_node(
            "Conv",
            f"{output}_{row}{column}",
            picture,
            f"{kernel}_{row}{column}",
            *bias,
            kernel_shape=[2, 2],
            pads=[1 - row, 1 - column, row, column],
        )
        for row in (0, 1)
        for column in (0, 1)
    ]
    together = f"{output}_phases"
    return [
        *convolutions,
        make_node("Concat", together, *(each.output[0] for each in convolutions), axis=1),
        make_node("DepthToSpace", output, together, blocksize=2, mode="DCR"),
    ]


def clip_joined(model: ModelProto) -> ModelProto:
    """The graph with Clip(x, 0), the same function, for every Relu of a concatenation.

    OpenVINO 2026.4 draws wrongly (14 dB) where such a Relu's result is quantised and something concatenated is
    quantised by another range too, as the skips of a U-Net are.
    """
    clipped = copy.deepcopy(model)
    joined = {node.output[0] for node in clipped.graph.node if node.op_type == "Concat"}
    relus = [node for node in clipped.graph.node if node.op_type == "Relu" and node.input[0] in joined]
    for node in relus:
        node.op_type = "Clip"
        node.input.append(FLOOR)
    if relus:
        clipped.graph.initializer.append(numpy_helper.from_array(np.array(0.0, np.float32), FLOOR))
    return clipped
