"""The DCGAN of Radford et al. 2016 (arXiv:1511.06434), from 4x4 pixels up to any power of two."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from limner.core.networks.config import DCGANDiscriminatorConfig, DCGANGeneratorConfig
from limner.core.networks.generator import Generator
from limner.core.networks.layers import concat_one_hot, concat_style_maps

BASE_SIZE = 4
"""Side of the smallest feature map, in pixels."""


def stages(image_size: int) -> int:
    """The number of halvings from the image to BASE_SIZE."""
    return (image_size // BASE_SIZE).bit_length() - 1


class DCGANGenerator(Generator):
    """Generate a portrait from noise: a 4x4 map from the latent, then transposed convolutions that double the side.

    At 64 pixels: 512, 256, 128, 64 channels for width 64; each doubling of the image adds twice as many in front. Batch
    norm and ReLU after all but the last, which ends in tanh; no biases (the authors' code).
    """

    config: DCGANGeneratorConfig

    def __init__(self, config: DCGANGeneratorConfig, image_size: int) -> None:
        super().__init__()
        self.config = config
        channels = [config.width * 2**level for level in reversed(range(stages(image_size)))]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(config.latent + config.styles, channels[0], 4, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
        ]
        for inputs, outputs in pairwise(channels):
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
        layers.append(nn.ConvTranspose2d(channels[-1], config.out_channels, 4, stride=2, padding=1, bias=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, latent: Tensor, style: Tensor | None = None) -> Tensor:
        """Latents (N, Z) ~ N(0, 1), style (N,) int64 if conditioned -> (N, 3, S, S) in [-1, 1]."""
        x = concat_one_hot(latent, style, self.config.styles)
        return torch.tanh(self.layers(x[:, :, None, None]))


class DCGANDiscriminator(nn.Module):
    """The generator's mirror: strided 4x4 convolutions down to 4x4, batch norm on all but the first; one logit."""

    initial_std: float | None = 0.02

    def __init__(self, config: DCGANDiscriminatorConfig, image_size: int, styles: int = 0) -> None:
        super().__init__()
        self.styles = styles
        channels = [config.width * 2**level for level in range(stages(image_size))]
        self.stages = nn.ModuleList([_down(3 + styles, channels[0], norm=False)])
        self.stages.extend(_down(a, b, norm=True) for a, b in pairwise(channels))
        self.head = nn.Conv2d(channels[-1], 1, 4, bias=False)

    def features(self, image: Tensor, style: Tensor | None = None) -> Tensor:
        """What the last layer sees: (N, C, 4, 4)."""
        x = concat_style_maps(image, style, self.styles)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward(self, image: Tensor, style: Tensor | None = None) -> Tensor:
        """Images (N, 3, S, S) in [-1, 1], style (N,) int64 if conditioned -> logits (N,)."""
        logits: Tensor = self.head(self.features(image, style))
        return logits.flatten()


def _down(inputs: int, outputs: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)]
    if norm:
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True))
