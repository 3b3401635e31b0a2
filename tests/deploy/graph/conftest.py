"""Every generator's graph, and how tests run one."""

from typing import Any

import numpy.typing as npt
import onnxruntime
import pytest
from onnx import ModelProto
from torch import nn

from limner.core.signature import Signature
from limner.deploy.inputs import random_inputs
from tests.deploy.conftest import CONFIGS

Array = npt.NDArray[Any]

every_case = pytest.mark.parametrize("name", CONFIGS)


def run(model: ModelProto, inputs: dict[str, Array]) -> Array:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: Array = session.run(None, inputs)[0]
    return result


def inputs_and_image(generator: nn.Module, signature: Signature, batch: int) -> tuple[dict[str, Array], Array]:
    inputs = random_inputs(signature, batch, seed=7)
    return {name: value.numpy() for name, value in inputs.items()}, generator(*inputs.values()).numpy()
