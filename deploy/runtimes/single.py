"""Generators as phone runtimes take them: for one image, without integers."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from limner.core.signature import Signature

Array = npt.NDArray[Any]


def example_inputs(signature: Signature) -> tuple[Array, ...]:
    """Inputs of one image to trace with, as `single_images` gives them."""
    inputs = {port.name: np.zeros((1, *port.shape), port.dtype) for port in signature.inputs}
    return next(single_images(signature, inputs))


def single_images(signature: Signature, inputs: Mapping[str, Array]) -> Iterator[tuple[Array, ...]]:
    """The float32 inputs of each image of a batch, in the order of ports, batch of 1: style numbers as one-hot vectors.

    The networks take either; phone runtimes do not compare integers.
    """
    one_hot = np.eye(max(signature.styles, 1), dtype=np.float32)
    for i in range(len(next(iter(inputs.values())))):
        images = {name: values[i : i + 1] for name, values in inputs.items()}
        yield tuple(one_hot[value] if name == "style" else value for name, value in images.items())
