"""Transposed convolutions as plain ones, which CPU runtimes calculate in int8.

They leave transposed convolutions in fp32: ONNX Runtime all of them, OpenVINO those with many channels.
"""

import copy

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, helper, numpy_helper

from limner.deploy.graph.nodes import make_node, replace_nodes

LAYOUT = {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1]}
"""The transposed convolution that is split: that of pix2pix and DCGAN, which doubles height and width."""
DEFAULTS = {"group": 1, "dilations": [1, 1], "output_padding": [0, 0], "auto_pad": b"NOTSET", "output_shape": None}
"""Attributes that may be given, but only with these values."""
TAPS = ((3, 1), (2, 0))
"""Per phase, the kernel's elements that meet two neighbours: out[2i] = x[i-1] w[3] + x[i] w[1] and out[2i+1] =
x[i] w[2] + x[i+1] w[0]; from the definition of the transposed convolution, out[2j + k - 1] += x[j] w[k]."""


def split_transposed(model: ModelProto) -> ModelProto:
    """Rewrite each transposed convolution of LAYOUT to four 2x2 convolutions, one a phase, and an interleaving.

    Every second row and column of its output is a plain convolution of its input with a quarter of its kernel, so the
    function and the number of multiplications stay the same.
    """
    split = copy.deepcopy(model)
    tensors = split.graph.initializer
    kernels = {tensor.name: tensor for tensor in model.graph.initializer}
    quarters: dict[str, npt.NDArray[np.float32]] = {}
    nodes: list[NodeProto] = []
    for node in split.graph.node:
        if node.op_type == "ConvTranspose" and node.input[1] in kernels and _has_layout(node):
            quarters |= _quarters(node.input[1], numpy_helper.to_array(kernels[node.input[1]]))
            nodes.extend(_phases(node))
        else:
            nodes.append(node)
    replace_nodes(split, nodes)
    read = {name for node in split.graph.node for name in node.input}
    for index in reversed(range(len(tensors))):
        if tensors[index].name not in read:
            del tensors[index]
    tensors.extend(numpy_helper.from_array(values, name) for name, values in quarters.items())
    return split


def _has_layout(node: NodeProto) -> bool:
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return all(given.get(name) == value for name, value in LAYOUT.items()) and all(
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
    image, kernel, *bias = node.input
    output = node.output[0]
    convolutions = [
        make_node(
            "Conv",
            f"{output}_{row}{column}",
            image,
            f"{kernel}_{row}{column}",
            *bias,
            kernel_shape=[2, 2],
            pads=[1 - row, 1 - column, row, column],
        )
        for row in (0, 1)
        for column in (0, 1)
    ]
    phases = f"{output}_phases"
    return [
        *convolutions,
        make_node("Concat", phases, *(each.output[0] for each in convolutions), axis=1),
        make_node("DepthToSpace", output, phases, blocksize=2, mode="DCR"),
    ]
