"""A generator as an fp32 ONNX graph, and graphs as files."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from onnx import ModelProto
from torch import nn

from limner.core.signature import Signature
from limner.deploy.inputs import EXAMPLE_BATCH, random_inputs

OPSET = 18
"""The oldest with all operators that the generators use, so that old runtimes take the file."""


def export_onnx(generator: nn.Module, signature: Signature) -> ModelProto:
    """Export a generator (fp32, CPU, eval mode) as a checked graph with the ports of `signature` and a free batch size.

    The exporter's metadata is removed: it would hold paths of this machine.
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
    """Silence the exporter's hints about torchvision and about deprecated calls within torch."""
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
