"""An int8 graph from an fp32 one: explicit quantise/dequantise pairs, which every backend reads the same way."""

import copy
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper
from onnxruntime import quantization

from limner.deploy.graph.split import split_transposed
from limner.deploy.inputs import Inputs

CONVOLUTIONS = ("Conv", "ConvTranspose")
FLOOR = "relu_floor"
"""Name of the constant of a Clip."""


class _Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, inputs: Iterable[Inputs]) -> None:
        self.inputs: Iterator[Inputs] = iter(inputs)

    def get_next(self) -> Inputs | None:
        return next(self.inputs, None)


def quantise(model: ModelProto, calibration: Iterable[Inputs]) -> ModelProto:
    """Quantise weights and inputs of the convolutions: symmetric, weights per channel, ranges from `calibration`.

    calibration: the graph's inputs by name, a batch each; the largest absolute value seen sets a range.
    Symmetric ranges and biases left in fp32 are what TensorRT demands. Weights use 7 of the 8 bits: x86 processors
    without VNNI add products in 16 bits, which saturate (a DCGAN at 64 pixels in OpenVINO: 28.9 dB with 8, 41.1 with
    7). The first convolution stays in fp32: it is about 1 % of the work and sees the input itself. The graph is first
    rewritten so that all its convolutions can run in int8.
    """
    model = clip_concat_relus(split_transposed(model))
    first = next(node.name for node in model.graph.node if node.op_type in CONVOLUTIONS)
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "fp32.onnx", Path(scratch) / "int8.onnx"
        onnx.save_model(model, str(source))
        root_level = logging.root.level
        logging.root.setLevel(logging.ERROR)  # it advises a pre-processing step that the exporter has done already
        try:
            quantization.quantize_static(
                str(source),
                str(target),
                _Calibration(calibration),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=list(CONVOLUTIONS),
                nodes_to_exclude=[first],
                extra_options={
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    "QuantizeBias": False,
                    "OpTypesToExcludeOutputQuantization": list(CONVOLUTIONS),
                },
            )
        finally:
            logging.root.setLevel(root_level)
        return onnx.load_model(str(target))


def clip_concat_relus(model: ModelProto) -> ModelProto:
    """Rewrite each Relu of a concatenation to Clip(x, 0), the same function.

    OpenVINO 2026.4 computes wrong images (14 dB) where such a Relu's result is quantised and something concatenated is
    quantised by another range too, as the skips of a U-Net are.
    """
    clipped = copy.deepcopy(model)
    concatenated = {node.output[0] for node in clipped.graph.node if node.op_type == "Concat"}
    relus = [node for node in clipped.graph.node if node.op_type == "Relu" and node.input[0] in concatenated]
    for node in relus:
        node.op_type = "Clip"
        node.input.append(FLOOR)
    if relus:
        clipped.graph.initializer.append(numpy_helper.from_array(np.array(0.0, np.float32), FLOOR))
    return clipped
