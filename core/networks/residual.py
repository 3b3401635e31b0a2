"""A generator and a discriminator for few images: after FastGAN (Liu et al. 2021, arXiv:2101.04775) and R3GAN (Huang et
al. 2024, arXiv:2501.05441), of plain convolutions that every engine has.

No batch norm: an image never depends on the others in its batch, so that workers need not share statistics and every
batch size computes the same.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.core.networks.config import DCGANDiscriminatorConfig, DCGANGeneratorConfig
from limner.core.networks.dcgan import BASE_SIZE, stages
from limner.core.networks.generator import Generator
from limner.core.networks.layers import concat_one_hot, concat_style_maps

SLOPE = 0.2
EXCITATION_LEVELS = 3
"""A map is gated by the one this many levels before it; FastGAN's skip-layer excitation uses 4 from 8x8 on."""
MAX_CHANNELS = 512


def channels_by_side(width: int, image_size: int) -> list[int]:
    """Channels of the maps from 4x4 to half the image's side; `width` at the largest, doubling towards the smallest."""
    return [min(width * 2**level, MAX_CHANNELS) for level in reversed(range(stages(image_size)))]


class ResidualGenerator(Generator):
    """Generate a portrait from noise: a linear layer to 4x4, then residual blocks that double the side.

    Skip-layer excitation (Liu et al. 2021, section 3.1): small maps gate the channels of maps that are 8 times as wide,
    which gives gradients a short way back to the latent.
    """

    config: DCGANGeneratorConfig
    initial_std = None

    def __init__(self, config: DCGANGeneratorConfig, image_size: int) -> None:
        super().__init__()
        self.config = config
        channels = [*channels_by_side(config.width, image_size), max(config.width // 2, 8)]
        self.start = nn.Linear(config.latent + config.styles, channels[0] * BASE_SIZE**2)
        self.doublings = nn.ModuleList(UpBlock(a, b) for a, b in pairwise(channels))
        pairs = zip(channels, channels[EXCITATION_LEVELS:], strict=False)
        self.excitations = nn.ModuleList(Excitation(small, large) for small, large in pairs)
        self.to_image = nn.Conv2d(channels[-1], config.out_channels, 3, padding=1)

    def forward(self, latent: Tensor, style: Tensor | None = None) -> Tensor:
        """Latents (N, Z) ~ N(0, 1), style (N,) int64 if conditioned -> (N, 3, S, S) in [-1, 1]."""
        x = self.start(concat_one_hot(latent, style, self.config.styles))
        x = pixel_norm(x.unflatten(1, (-1, BASE_SIZE, BASE_SIZE)))
        maps = [x]
        for number, up_block in enumerate(self.doublings, 1):
            x = up_block(x)
            if number >= EXCITATION_LEVELS:
                x = x * self.excitations[number - EXCITATION_LEVELS](maps[number - EXCITATION_LEVELS])
            maps.append(x)
        return torch.tanh(self.to_image(F.leaky_relu(x, SLOPE)))


class UpBlock(nn.Module):
    """(N, inputs, H, W) -> (N, outputs, 2H, 2W), residual."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Upsample."""
        # The skip is bilinear: by nearest neighbour, squares of the smallest maps stay visible for long.
        skip = F.interpolate(self.skip(x), scale_factor=2.0, mode="bilinear")
        x = F.interpolate(F.leaky_relu(x, SLOPE), scale_factor=2.0, mode="nearest")
        return skip + pixel_norm(self.conv(x))


class Excitation(nn.Module):
    """Gates (N, outputs, 1, 1) in (0, 1) for a large map from a small one (N, inputs, H, W), H at least 4."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(BASE_SIZE),
            nn.Conv2d(inputs, outputs, BASE_SIZE),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 1),
        )

    def forward(self, small: Tensor) -> Tensor:
        """Compute the gates."""
        gates: Tensor = self.layers(small)
        return gates.sigmoid()


def pixel_norm(x: Tensor) -> Tensor:
    """Every pixel's channels scaled to a mean square of 1 (Karras et al. 2018, section 4.2); fp16 holds its epsilon."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-4)


class ResidualDiscriminator(nn.Module):
    """Residual blocks that halve the side down to 4x4, without any norm, then one logit."""

    initial_std: float | None = None

    def __init__(self, config: DCGANDiscriminatorConfig, image_size: int, styles: int = 0) -> None:
        super().__init__()
        self.styles = styles
        channels = channels_by_side(config.width, image_size)[::-1]
        first = nn.Conv2d(3 + styles, channels[0], 4, stride=2, padding=1)
        self.stages = nn.ModuleList([first, *(DownBlock(a, b) for a, b in pairwise(channels))])
        self.last = nn.Conv2d(channels[-1], channels[-1], BASE_SIZE)
        self.head = nn.Linear(channels[-1], 1)

    def features(self, image: Tensor, style: Tensor | None = None) -> Tensor:
        """What the last layer sees: (N, C)."""
        x = concat_style_maps(image, style, self.styles)
        for stage in self.stages:
            x = stage(x)
        x = self.last(F.leaky_relu(x, SLOPE))
        return F.leaky_relu(x, SLOPE).flatten(1)

    def forward(self, image: Tensor, style: Tensor | None = None) -> Tensor:
        """Images (N, 3, S, S) in [-1, 1], style (N,) int64 if conditioned -> logits (N,)."""
        logits: Tensor = self.head(self.features(image, style))
        return logits.flatten()


class DownBlock(nn.Module):
    """(N, inputs, H, W) -> (N, outputs, H/2, W/2), residual."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.down = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Downsample."""
        inner = self.down(F.leaky_relu(self.conv(F.leaky_relu(x, SLOPE)), SLOPE))
        summed: Tensor = self.skip(F.avg_pool2d(x, 2)) + inner
        return summed * math.sqrt(0.5)  # keeps the variance
