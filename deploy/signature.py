"""What goes into an engine and what comes out: named ports, and the batch sizes that it takes."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from limner.core.bundle import BundleConfig
from limner.core.config import UNetConfig
from limner.core.util.errors import UserError

DType = Literal["float32", "int64", "uint8"]


@dataclass(frozen=True)
class Port:
    """A named input or output of an engine."""

    name: str
    shape: tuple[int, ...]
    """Without the batch."""
    dtype: DType


@dataclass(frozen=True)
class Signature:
    """What goes into an engine, in the order of the generator's arguments, and what comes out."""

    inputs: tuple[Port, ...]
    """`photo` (3, S, S) or `latent` (Z,), and `style` () where the generator is conditioned."""
    output: Port
    styles: int = 0
    """How many values `style` may take."""

    def pixels(self) -> "Signature":
        """The same with pictures as files hold them: NHWC uint8 instead of NCHW float in [-1, 1]."""
        return dataclasses.replace(self, inputs=tuple(map(_as_pixels, self.inputs)), output=_as_pixels(self.output))

    def random_inputs(self, batch: int, seed: int) -> dict[str, Tensor]:
        """Inputs for a float signature on the CPU: blurred noise for photos, N(0, 1) for latents, any style."""
        generator = torch.Generator().manual_seed(seed)
        inputs: dict[str, Tensor] = {}
        for port in self.inputs:
            if port.name == "style":
                inputs[port.name] = torch.randint(self.styles, (batch,), generator=generator)
            elif port.name == "latent":
                inputs[port.name] = torch.randn((batch, *port.shape), generator=generator)
            else:
                coarse = torch.rand((batch, port.shape[0], 16, 16), generator=generator)
                smooth = torch.nn.functional.interpolate(coarse, port.shape[1:], mode="bicubic", align_corners=False)
                inputs[port.name] = smooth.clamp_(0.0, 1.0) * 2.0 - 1.0
        return inputs


def _as_pixels(port: Port) -> Port:
    if len(port.shape) != 3:
        return port
    channels, height, width = port.shape
    return Port(port.name, (height, width, channels), "uint8")


def bundle_signature(config: BundleConfig) -> Signature:
    """The float signature of a bundle's generator."""
    generator, side = config.generator, config.image_size
    if isinstance(generator, UNetConfig):
        inputs = [Port("photo", (generator.in_channels, side, side), "float32")]
    else:
        inputs = [Port("latent", (generator.latent,), "float32")]
    if generator.styles:
        inputs.append(Port("style", (), "int64"))
    return Signature(tuple(inputs), Port("image", (generator.out_channels, side, side), "float32"), generator.styles)


@dataclass(frozen=True)
class BatchProfile:
    """The batch sizes that an engine takes, and the one that it is tuned for."""

    minimum: int = 1
    optimum: int = 8
    maximum: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.optimum <= self.maximum:
            raise UserError(
                f"batch {self.minimum} {self.optimum} {self.maximum}: must be MIN OPT MAX with 1 <= MIN <= OPT <= MAX, "
                "such as 1 8 32"
            )

    def sizes(self) -> list[int]:
        """Minimum, optimum and maximum, each once."""
        return sorted({self.minimum, self.optimum, self.maximum})

    def proof_sizes(self) -> list[int]:
        """sizes() and the smallest other one in the range: engines have ways of their own for what lies between."""
        between = (size for size in range(self.minimum, self.maximum) if size not in self.sizes())
        return sorted({*self.sizes(), next(between, self.minimum)})
