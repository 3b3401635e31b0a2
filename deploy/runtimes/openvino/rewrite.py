"""Rewrites of a graph that OpenVINO runs faster; deploy.runtimes.openvino.winograd has the larger one."""

import numpy as np
import openvino
from openvino import opset13
from openvino.utils import replace_node

PAIR = ("Subtract", "Convert", "Convert", "FakeQuantize")
"""OpenVINO's operators for a QuantizeLinear and its DequantizeLinear, backwards from the Multiply at the end."""
LEVELS = 256
INT8_MAX = 127
WITHIN_RANGE = ("nearest", "linear", "linear_onnx")
"""Interpolations that stay between the values they are given; cubic ones overshoot."""


def replace_tanh(model: openvino.Model) -> None:
    """Rewrite tanh to 2 sigmoid(2x) - 1, the same function: a sigmoid takes a third of its time (docs/LOG.md)."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Tanh":
            x = node.input_value(0)
            one, two = (opset13.constant(value, dtype=x.get_element_type()) for value in (1.0, 2.0))
            sigmoid = opset13.sigmoid(opset13.multiply(x, two))
            replace_node(node, opset13.subtract(opset13.multiply(sigmoid, two), one))


def use_unsigned(model: openvino.Model) -> int:
    """Quantise what is never negative to 0..255 instead of 0..127 over the same range; returns how many tensors.

    The graph is symmetric because TensorRT demands it, which leaves half of the numbers unused after a Relu. x86
    without VNNI multiplies unsigned by signed numbers and adds pairs in 16 bits: 2 x 255 x 64, with weights of 7 bits,
    fits.
    """
    count = 0
    for node in model.get_ordered_ops():
        quantise = _quantise(node) if node.get_type_name() == "Multiply" else None
        if quantise is not None and _never_negative(quantise.input_value(0).get_node()):
            low, high = np.float32(0.0), np.float32(INT8_MAX * node.input_value(1).get_node().data)
            replace_node(node, opset13.fake_quantize(quantise.input_value(0), low, high, low, high, LEVELS))
            count += 1
    return count


def _quantise(node: openvino.Node) -> openvino.Node | None:
    """The FakeQuantize at the start of the pair that ends with `node`, if one does."""
    for kind in PAIR:
        inputs = node.input_values()
        node = inputs[0].get_node() if inputs else node
        if node.get_type_name() != kind:
            return None
    return node


def _never_negative(node: openvino.Node) -> bool:
    kind = node.get_type_name()
    if kind == "Constant":
        return bool(np.all(node.data >= 0))
    inputs = [value.get_node() for value in node.input_values()]
    if kind == "Maximum":
        return any(map(_never_negative, inputs))
    if kind == "Interpolate" and node.get_attributes()["mode"] in WITHIN_RANGE:
        return _never_negative(inputs[0])
    return kind == "Relu" or (kind == "Minimum" and all(map(_never_negative, inputs)))
