"""What goes into a generator and what comes out: named ports."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

DType = Literal["float32", "int64", "uint8"]


@dataclass(frozen=True)
class Port:
    """A named input or output of a generator or an engine."""

    name: str
    shape: tuple[int, ...]
    """Without the batch."""
    dtype: DType


@dataclass(frozen=True)
class Signature:
    """The inputs of a generator, in the order of its arguments, and its output."""

    inputs: tuple[Port, ...]
    """`photo` (3, S, S) or `latent` (Z,), and `style` () where the generator is conditioned."""
    output: Port
    styles: int = 0
    """Number of values of `style`."""

    def as_uint8(self) -> "Signature":
        """The same with images as files hold them: NHWC uint8 instead of NCHW float in [-1, 1]."""
        return dataclasses.replace(self, inputs=tuple(map(_as_uint8, self.inputs)), output=_as_uint8(self.output))


def _as_uint8(port: Port) -> Port:
    if len(port.shape) != 3:
        return port
    channels, height, width = port.shape
    return Port(port.name, (height, width, channels), "uint8")
