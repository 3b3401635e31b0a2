"""The ResNet generator of Johnson et al. 2016 (arXiv:1603.08155) as in CycleGAN (Zhu et al. 2017, section 7.2)."""

import torch
from torch import Tensor, nn

from limner.core.networks.config import Norm, ResNetConfig
from limner.core.networks.generator import Generator
from limner.core.networks.layers import concat_style_maps, norm_layer, upsample_layer

LEVELS = 2
"""Halvings before the residual blocks, and doublings after them."""


class ResNet(Generator):
    """Translate a photo: a 7x7 stem, two strided convolutions, residual blocks, two upsampling layers, a 7x7 head.

    Reflection padding in stem, blocks and head. A convolution has a bias only if no norm follows that would undo it.
    """

    config: ResNetConfig

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.styles = config.styles or 0
        width, norm, bias = config.width, config.norm, config.norm == "none"
        channels = [width * 2**level for level in range(LEVELS + 1)]
        self.stem = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(config.in_channels + self.styles, width, kernel_size=7, bias=bias),
            norm_layer(norm, width),
            nn.ReLU(),
        )
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, 2 * inputs, kernel_size=3, stride=2, padding=1, bias=bias),
                norm_layer(norm, 2 * inputs),
                nn.ReLU(),
            )
            for inputs in channels[:-1]
        )
        self.blocks = nn.ModuleList(ResidualBlock(channels[-1], norm, config.dropout) for _ in range(config.num_blocks))
        self.up = nn.ModuleList(
            nn.Sequential(
                upsample_layer(config.upsample, inputs, inputs // 2, bias, kernel_size=3),
                norm_layer(norm, inputs // 2),
                nn.ReLU(),
            )
            for inputs in reversed(channels[1:])
        )
        self.head = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, config.out_channels, kernel_size=7))

    def forward(self, photo: Tensor, style: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1], style (N,) int64 if conditioned -> (N, out_channels, H, W) in [-1, 1].

        H and W must be multiples of 4.
        """
        x = self.stem(concat_style_maps(photo, style, self.styles))
        for layer in (*self.down, *self.blocks, *self.up):
            x = layer(x)
        return torch.tanh(self.head(x))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around which the input is added: (N, C, H, W) -> the same."""

    def __init__(self, channels: int, norm: Norm, dropout: float) -> None:
        super().__init__()

        def convolution() -> list[nn.Module]:
            return [
                nn.ReflectionPad2d(1),
                nn.Conv2d(channels, channels, kernel_size=3, bias=norm == "none"),
                norm_layer(norm, channels),
            ]

        between: list[nn.Module] = [nn.ReLU(), *([nn.Dropout(dropout)] if dropout > 0.0 else [])]
        self.layers = nn.ModuleList([nn.Sequential(*convolution(), *between), nn.Sequential(*convolution())])

    def forward(self, x: Tensor) -> Tensor:
        """Add the two convolutions' output to the input."""
        inner = x
        for layer in self.layers:
            inner = layer(inner)
        return x + inner
