"""Winograd's F(4, 2) along the rows of large convolutions: 5 multiplications in place of 8, in OpenVINO's operators.

Along the rows, a 4x4 convolution of stride 2 and its transpose are convolutions of two taps, out[u] = k0 s[u] +
k1 s[u + 1], of single rows s or pairs of them. Four rows come from five products, out = A ((G k) * (B s)): Lavin & Gray
2016, "Fast Algorithms for Convolutional Neural Networks", section 4, whose A^T and B^T are A and B here, at the points
0, 1, -1, 2 and infinity. Along the columns the products remain what OpenVINO makes of them.
"""

import numpy as np
import numpy.typing as npt
import openvino
from openvino import opset13
from openvino.utils import replace_node

Array = npt.NDArray[np.float32]

ROWS = 4
"""Rows of output from one transform."""
B = np.array([[2, -1, -2, 1, 0], [0, -2, -1, 1, 0], [0, 2, -3, 1, 0], [0, -1, 0, 1, 0], [0, 2, -1, -2, 1]], np.float32)
"""Five rows of input -> five sources, one per product."""
G = np.array([[3, 0], [-3, -3], [-1, 1], [1, 2], [0, 6]], np.float32) / 6
"""Two taps -> the kernel of each product."""
A = np.array([[1, 1, 1, 1, 0], [0, 1, -1, 2, 0], [0, 1, 1, 4, 0], [0, 1, -1, 8, 1]], np.float32)
"""Five products -> four rows of output."""

STRIDED, TRANSPOSED = "Convolution", "ConvolutionBackpropData"
LAYOUT = {
    "strides": [2, 2],
    "dilations": [1, 1],
    "pads_begin": [1, 1],
    "pads_end": [1, 1],
    "auto_pad": "explicit",
    "output_padding": [0, 0],
}
MIN_WORK, MIN_REUSE = 2**29, 2**8
"""Multiplications per image, and uses of each weight, from which it is worthwhile: some 27 operators replace one, with
2.5 times its weights."""


def transform_large(model: openvino.Model) -> int:
    """Rewrite the large 4x4 convolutions of stride 2 and their transposes in place, in fp32; returns how many."""
    nodes = [
        node for node in model.get_ordered_ops() if node.get_type_name() in (STRIDED, TRANSPOSED) and _is_large(node)
    ]
    for node in nodes:
        rewrite = _strided if node.get_type_name() == STRIDED else _transposed
        replace_node(node, rewrite(node.input_value(0), node.input_value(1).get_node().data))
    return len(nodes)


def _is_large(node: openvino.Node) -> bool:
    kernel = node.input_value(1).get_node()
    if kernel.get_type_name() != "Constant" or kernel.get_element_type() != openvino.Type.f32:
        return False
    if node.get_input_size() != 2 or node.input_value(0).get_partial_shape().rank.is_dynamic:
        return False
    if {"output_padding": [0, 0]} | node.get_attributes() != LAYOUT or tuple(kernel.shape)[2:] != (4, 4):
        return False
    _, _, height, width = node.input_value(0).get_partial_shape()
    if height.is_dynamic or width.is_dynamic or height.get_length() % (2 * ROWS):
        return False
    area = height.get_length() * width.get_length()
    reuse = area // 4 if node.get_type_name() == STRIDED else area
    return bool(reuse >= MIN_REUSE and reuse * kernel.data.size >= MIN_WORK)


def _strided(image: openvino.Output, kernel: Array) -> openvino.Node:
    """kernel: (O, I, 4, 4). Output row u sees the pairs u and u + 1 of input rows (2u - 1, 2u)."""
    channels = kernel.shape[1]
    pairs = zip(_sources(image, channels, -1, 2), _sources(image, channels, 0, 2), strict=True)
    products = [
        opset13.convolution(
            opset13.concat([above, below], 1),
            np.concatenate([taps[:, :, :1], taps[:, :, 1:]], 1),
            strides=[1, 2],
            pads_begin=[0, 1],
            pads_end=[0, 1],
            dilations=[1, 1],
        )
        for (above, below), taps in zip(pairs, _kernels(kernel[:, :, :2], kernel[:, :, 2:]), strict=True)
    ]
    return _interleaved(_outputs(products))


def _transposed(image: openvino.Output, kernel: Array) -> openvino.Node:
    """kernel: (I, O, 4, 4). Rows 2u and 2u + 1 of the output see the input's rows u - 1 and u, u and u + 1."""
    phases = []
    for offset, first, second in ((-1, 3, 1), (0, 2, 0)):
        kernels = _kernels(kernel[:, :, first : first + 1], kernel[:, :, second : second + 1])
        products = [
            opset13.convolution_backprop_data(
                source, opset13.constant(taps), strides=[1, 2], pads_begin=[0, 1], pads_end=[0, 1], dilations=[1, 1]
            )
            for source, taps in zip(_sources(image, len(kernel), offset, 1), kernels, strict=True)
        ]
        phases.append(_outputs(products))
    return _interleaved([row for pair in zip(*phases, strict=True) for row in pair])


def _sources(image: openvino.Output, channels: int, offset: int, step: int) -> list[openvino.Node]:
    """B of the input's rows `step` apart, from row `offset` (-1 or 0) on; rows beyond the image are zeros."""
    return [
        opset13.group_convolution(
            image,
            np.broadcast_to(row[:, None], (channels, 1, 1, len(row), 1)).copy(),
            strides=[ROWS * step, 1],
            pads_begin=[-offset, 0],
            pads_end=[1 + offset, 0],
            dilations=[step, 1],
        )
        for row in B
    ]


def _kernels(first: Array, second: Array) -> list[Array]:
    return [np.ascontiguousarray(one * first + two * second) for one, two in G]


def _outputs(products: list[openvino.Node]) -> list[openvino.Node]:
    rows = []
    for factors in A:
        terms = [opset13.multiply(products[i], np.float32(factors[i])) for i in np.flatnonzero(factors)]
        row = terms[0]
        for term in terms[1:]:
            row = opset13.add(row, term)
        rows.append(row)
    return rows


def _interleaved(rows: list[openvino.Node]) -> openvino.Node:
    """(N, C, H / n, W), n times: every n-th row of an image from row 0 on, from row 1 on, ... -> (N, C, H, W).

    Shuffling "channels" that are rows is the one operator found that keeps OpenVINO's memory layout of images.
    """
    return opset13.shuffle_channels(opset13.concat(rows, 2), 2, len(rows))
