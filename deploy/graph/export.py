"""A generator as one ONNX file: fp32 as exported, or rewritten to half weights or to uint8 pictures in and out."""

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from limner.core.signature import Signature
from limner.deploy.inputs import random_inputs

OPSET = 18
"""The oldest with all that the generators use, so that old runtimes take the file."""
FLOAT_NORMS = ("InstanceNormalization", "BatchNormalization")
"""Operators that stay in fp32 in a half graph: sums over a whole plane overflow or lose digits in fp16."""
FLOAT_PARAMETERS = (*FLOAT_NORMS, "Resize")
"""Operators whose inputs after the first stay in fp32; Resize's scales are so by definition."""
EXAMPLE_BATCH = 2
"""torch.export takes a batch of 1 for a constant."""


def export_onnx(generator: nn.Module, signature: Signature) -> ModelProto:
    """The generator (fp32, CPU, eval mode) as a checked ONNX graph with the ports of `signature`, batch size free.

    The graph has no metadata of the exporter: it would hold paths of this machine.
    """
    inputs = random_inputs(signature, EXAMPLE_BATCH, seed=0)
    batch = torch.export.Dim("batch", min=1)
    with _quiet_exporter():
        program = torch.onnx.export(
            generator,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=[signature.output.name],
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for holder in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del holder.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
    del model.graph.value_info[:]
    check_onnx(model)
    return model


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what torch's exporter says about itself: torchvision it could use, its own deprecated calls."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=r".*axis name: batch will not be used")
            yield
    finally:
        logger.disabled = before


def check_onnx(model: ModelProto) -> None:
    """Raise onnx.checker's error unless the graph is valid, types and shapes inferred throughout."""
    onnx.checker.check_model(model, full_check=True)


def save_onnx(model: ModelProto, path: Path) -> None:
    """Check the graph and write it as one file, weights inside."""
    check_onnx(model)
    onnx.save_model(model, str(path))


def to_half(model: ModelProto) -> ModelProto:
    """The graph with half weights and arithmetic; norms in fp32 between casts, and fp32 in and out as before.

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
            nodes.append(_cast(port.name, renamed[port.name], TensorProto.FLOAT16))
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
        _rename_output(nodes, port.name, f"{port.name}_half")
        nodes.append(_cast(f"{port.name}_half", port.name, TensorProto.FLOAT))
    replace_nodes(half, nodes)
    return half


def _in_float(node: NodeProto) -> list[NodeProto]:
    """A norm between a cast of its first input to fp32 and one of its output back to half."""
    before, after = f"{node.input[0]}_for_{node.name}", f"{node.output[0]}_float"
    casts = (
        _cast(node.input[0], before, TensorProto.FLOAT),
        _cast(after, node.output[0], TensorProto.FLOAT16),
    )
    node.input[0], node.output[0] = before, after
    return [casts[0], node, casts[1]]


def with_pixels(model: ModelProto) -> ModelProto:
    """The graph with pictures as files hold them: (N, H, W, C) uint8 in place of (N, C, H, W) float in [-1, 1].

    The arithmetic of core.images, in fp32 whatever lies between: x / 127.5 - 1 going in; round((x + 1) * 127.5),
    clipped to 0-255, coming out. Ports that are no pictures stay as they are.
    """
    pixels = copy.deepcopy(model)
    graph = pixels.graph
    constants = {"half_range": 127.5, "one": 1.0, "black": 0.0, "white": 255.0}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), f"pixel_{name}"))
    nodes: list[NodeProto] = []
    for port in graph.input:
        if len(port.type.tensor_type.shape.dim) != 4:
            continue
        name = port.name
        # The cast comes first: TensorRT moves no uint8 tensors about.
        nodes += [
            _cast(name, f"{name}_float", TensorProto.FLOAT),
            make_node("Transpose", f"{name}_planes", f"{name}_float", perm=[0, 3, 1, 2]),
            make_node("Div", f"{name}_scaled", f"{name}_planes", "pixel_half_range"),
            make_node("Sub", f"{name}_centred", f"{name}_scaled", "pixel_one"),
        ]
        for node in graph.node:
            for i, given in enumerate(node.input):
                node.input[i] = f"{name}_centred" if given == name else given
        _as_picture(port)
    nodes.extend(graph.node)
    for port in graph.output:
        name = port.name
        _rename_output(nodes, name, f"{name}_centred")
        nodes += [
            make_node("Add", f"{name}_positive", f"{name}_centred", "pixel_one"),
            make_node("Mul", f"{name}_scaled", f"{name}_positive", "pixel_half_range"),
            make_node("Round", f"{name}_whole", f"{name}_scaled"),
            make_node("Clip", f"{name}_clipped", f"{name}_whole", "pixel_black", "pixel_white"),
            make_node("Transpose", f"{name}_picture", f"{name}_clipped", perm=[0, 2, 3, 1]),
            _cast(f"{name}_picture", name, TensorProto.UINT8),
        ]
        _as_picture(port)
    replace_nodes(pixels, nodes)
    return pixels


def make_node(op_type: str, output: str, *inputs: str, **attributes: Any) -> NodeProto:
    """A node with a name of its own."""
    return helper.make_node(
        op_type, list(inputs), [output], name=f"{op_type}_{'_'.join(inputs)}_to_{output}", **attributes
    )


def _cast(name: str, output: str, to: int) -> NodeProto:
    return make_node("Cast", output, name, to=to)


def _rename_output(nodes: list[NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = new if name == old else name


def replace_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    """Make `nodes`, some of which may be the graph's own, all that it has; shapes inferred before are dropped."""
    copies = [copy.deepcopy(node) for node in nodes]  # the list may hold nodes of the graph that is emptied next
    del model.graph.node[:]
    del model.graph.value_info[:]
    model.graph.node.extend(copies)


def _as_picture(port: onnx.ValueInfoProto) -> None:
    """NCHW float -> NHWC uint8 in a port's declaration."""
    tensor = port.type.tensor_type
    batch, channels, height, width = (copy.deepcopy(dim) for dim in tensor.shape.dim)
    tensor.elem_type = TensorProto.UINT8
    del tensor.shape.dim[:]
    tensor.shape.dim.extend([batch, height, width, channels])
