"""Architectures as values: typed, checked when they are made, free of torch. The generator's are stored in bundles."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, TypeVar

from limner.core.config import require
from limner.core.signature import Port, Signature

Norm = Literal["instance", "batch", "none"]
CheckpointNorm = Literal["batch", "instance"]
"""What an imported checkpoint was trained with."""
Upsample = Literal["transpose", "resize"]
Architecture = Literal["paper", "modern"]
T = TypeVar("T", bound="PhotoGeneratorBase")


@dataclass(frozen=True)
class PhotoGeneratorBase:
    """What every generator from photo to sketch has."""

    in_channels: int = 3
    """Channels of a photo; training is on 3."""
    out_channels: int = 3
    """Channels of a sketch; training is on 3."""
    width: int = 64
    """Channels after the first convolution."""
    norm: Norm = "instance"
    """instance: with affine weights, the same in training and inference; batch: the paper's."""
    dropout: float = 0.0
    """Probability of dropout while training; off at inference."""
    upsample: Upsample = "transpose"
    """transpose: transposed convolutions (the paper's); resize: nearest-neighbour upsampling, then a convolution."""
    styles: int | None = None
    """Number of one-hot style maps concatenated to the input; 0: unconditioned; left out: as many as the data has."""

    def __post_init__(self) -> None:
        require(self.width >= 1, f"generator width {self.width}: must be at least 1")
        require(0.0 <= self.dropout < 1.0, f"generator dropout {self.dropout}: must be in [0, 1)")
        require(self.in_channels >= 1 and self.out_channels >= 1, "generator channels must be at least 1")
        require(self.styles is None or self.styles >= 0, f"generator styles {self.styles}: must not be negative")

    def resolved(self: T, image_size: int) -> T:
        """The architecture with all that follows from the image size; UserError where they do not go together."""
        return self

    def inference(self: T) -> T:
        """The architecture of the trained generator: without dropout, and with instance norm in place of batch norm.

        The authors of pix2pix and CycleGAN run batch norm by batch statistics at test time too, at batch 1; instance
        norm with the same affine weights computes just that, and at any batch size.
        """
        return dataclasses.replace(self, dropout=0.0, norm="instance" if self.norm == "batch" else self.norm)

    def signature(self, image_size: int) -> Signature:
        """The ports of the generator at an image size."""
        photo = Port("photo", (self.in_channels, image_size, image_size), "float32")
        return _conditioned(photo, self.styles or 0, self.out_channels, image_size)


@dataclass(frozen=True)
class UNetConfig(PhotoGeneratorBase):
    """The U-Net generator of pix2pix; deeper levels have 2, 4 and at most 8 times `width` channels."""

    kind: Literal["unet"] = "unet"
    """unet; or resnet9 or resnet6, which have options of their own."""
    depth: int | None = None
    """Levels from input to bottleneck, each of half the side; left out: down to 1x1 pixel, at most 8 (the paper's)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.depth is None or 2 <= self.depth <= 10,
            f"generator depth {self.depth}: must be 2 to 10, or left out to fit the image size",
        )

    def resolved(self, image_size: int) -> "UNetConfig":
        """The architecture with its depth written down; UserError where the image cannot be halved as often."""
        levels = int(math.log2(image_size))
        require(
            self.depth is None or self.depth <= levels,
            f"generator depth {self.depth}: an image of {image_size} pixels can be halved {levels} times at most",
        )
        return dataclasses.replace(self, depth=self.depth or min(8, levels))


@dataclass(frozen=True)
class ResNetConfig(PhotoGeneratorBase):
    """The ResNet generator of CycleGAN; its residual blocks have 4 times `width` channels."""

    kind: Literal["resnet9", "resnet6"] = "resnet9"
    """resnet9 or resnet6, by the number of blocks; or unet, which has options of its own."""

    @property
    def num_blocks(self) -> int:
        """Residual blocks."""
        return {"resnet9": 9, "resnet6": 6}[self.kind]


@dataclass(frozen=True)
class PatchGANConfig:
    """The PatchGAN discriminator of pix2pix, which sees photo and sketch concatenated in channels."""

    width: int = 64
    """Channels after the first convolution; deeper layers have 2, 4 and at most 8 times as many."""
    layers: int = 3
    """Strided layers; 1, 2, 3, 4, 5 give receptive fields of 16, 34, 70, 142, 286 pixels."""
    norm: Norm = "instance"
    """As the generator's; "none" has none."""
    scales: int = 1
    """Equal networks, 1 to 3, each on the images at half the size of the one before (Wang et al. 2018, section 3.2)."""
    spectral_norm: bool = False
    """Divide each convolution's weight by its largest singular value (Miyato et al. 2018)."""

    def __post_init__(self) -> None:
        require(self.width >= 1, f"discriminator width {self.width}: must be at least 1")
        require(1 <= self.layers <= 6, f"discriminator layers {self.layers}: must be 1 to 6")
        require(1 <= self.scales <= 3, f"discriminator scales {self.scales}: must be 1 to 3")

    @property
    def least_image_size(self) -> int:
        """Side in pixels of the smallest images that leave a logit at every scale."""
        return int(2 ** (self.layers + 1 + self.scales))


@dataclass(frozen=True)
class DCGANGeneratorConfig:
    """A generator of portraits from noise."""

    architecture: Architecture = "modern"
    """paper: transposed convolutions and batch norm (Radford et al. 2016); modern: residual blocks, no batch norm."""
    latent: int = 100
    """Length of the latent vector."""
    width: int = 64
    """Channels at half the image's side; twice as many at each smaller side (modern: at most 512)."""
    out_channels: int = 3
    """Channels of a portrait."""
    styles: int = 0
    """Number of classes that a one-hot vector conditions on; follows from `condition`, not set by hand."""

    def __post_init__(self) -> None:
        require(self.latent >= 1, f"generator latent {self.latent}: must be at least 1")
        require(self.width >= 1, f"generator width {self.width}: must be at least 1")
        require(self.out_channels >= 1, "generator channels must be at least 1")
        require(self.styles >= 0, f"generator styles {self.styles}: must not be negative")

    @property
    def kind(self) -> str:
        """The name of the architecture in bundles."""
        return {"paper": "dcgan", "modern": "residual"}[self.architecture]

    def signature(self, image_size: int) -> Signature:
        """The ports of the generator at an image size."""
        return _conditioned(Port("latent", (self.latent,), "float32"), self.styles, self.out_channels, image_size)

    def inference(self) -> "DCGANGeneratorConfig":
        """The architecture of the trained generator: the same."""
        return self


@dataclass(frozen=True)
class DCGANDiscriminatorConfig:
    """A discriminator of whole portraits."""

    architecture: Architecture = "modern"
    """paper: batch norm (Radford et al. 2016); modern: residual blocks, no norm."""
    width: int = 64
    """Channels at half the image's side; twice as many at each smaller side (modern: at most 512)."""
    frozen_stages: int = 0
    """The first stages that keep their weights: for fine-tuning with --init-from (Mo et al. 2020, "Freeze D")."""

    def __post_init__(self) -> None:
        require(self.width >= 1, f"discriminator width {self.width}: must be at least 1")
        require(self.frozen_stages >= 0, f"discriminator frozen-stages {self.frozen_stages}: must not be negative")


PhotoGeneratorConfig = UNetConfig | ResNetConfig
"""The generators from photo to sketch, distinguished by their `kind`."""
GeneratorConfig = PhotoGeneratorConfig | DCGANGeneratorConfig
"""All generators."""


def _conditioned(source: Port, styles: int, channels: int, image_size: int) -> Signature:
    """From `source`, and a style number where there are styles, to an image."""
    inputs = (source, Port("style", (), "int64")) if styles else (source,)
    return Signature(inputs, Port("image", (channels, image_size, image_size), "float32"), styles)
