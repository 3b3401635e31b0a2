"""The U-Net generator of pix2pix (Isola et al. 2017, section 6.1.1)."""

import torch
from torch import Tensor, nn

from limner.core.networks.config import Norm, UNetConfig
from limner.core.networks.generator import Generator
from limner.core.networks.layers import concat_style_maps, norm_layer, upsample_layer

DROPOUT_BLOCKS = 3
"""Decoder blocks with dropout, counted from the bottleneck, as in the authors' models.lua."""


class UNet(Generator):
    """Translate a photo: `depth` strided convolutions down, as many upsampling blocks up, with skips at every level.

    Every convolution is 4x4 with stride 2; encoder level i has width * min(2^i, 8) channels. The outermost and the
    innermost encoder level have no norm. A convolution has a bias only where no norm follows that would undo it.
    The decoder's input at each level is cat([skip, upsampled]), the order of the common PyTorch port.
    """

    config: UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        if config.depth is None:
            raise ValueError("UNetConfig.depth is None: resolve it against the image size first")
        self.config = config
        self.styles = config.styles or 0
        channels = [config.width * min(2**level, 8) for level in range(config.depth)]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, outputs in enumerate(channels):
            outermost, innermost = level == 0, level == config.depth - 1
            inputs = config.in_channels + self.styles if outermost else channels[level - 1]
            self.down.append(_down_block(inputs, outputs, "none" if outermost or innermost else config.norm, outermost))
            up_inputs = outputs if innermost else 2 * outputs
            self.up.append(_up_block(config, level, up_inputs, config.out_channels if outermost else inputs))

    def forward(self, photo: Tensor, style: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1], style (N,) int64 if conditioned -> (N, out_channels, H, W) in [-1, 1].

        H and W must be multiples of 2^depth.
        """
        x = concat_style_maps(photo, style, self.styles)
        skips: list[Tensor] = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        for level in range(len(self.up) - 1, -1, -1):
            x = self.up[level](x)
            if level > 0:
                x = torch.cat([skips[level - 1], x], dim=1)
        return torch.tanh(x)


def _down_block(inputs: int, outputs: int, norm: Norm, outermost: bool) -> nn.Sequential:
    layers: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2)]
    layers.append(nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=norm == "none"))
    if norm != "none":
        layers.append(norm_layer(norm, outputs))
    return nn.Sequential(*layers)


def _up_block(config: UNetConfig, level: int, inputs: int, outputs: int) -> nn.Sequential:
    norm: Norm = "none" if level == 0 else config.norm
    layers: list[nn.Module] = [nn.ReLU(), upsample_layer(config.upsample, inputs, outputs, bias=norm == "none")]
    if norm != "none":
        layers.append(norm_layer(norm, outputs))
    assert config.depth is not None
    if config.dropout > 0.0 and level > 0 and level >= config.depth - DROPOUT_BLOCKS:
        layers.append(nn.Dropout(config.dropout))
    return nn.Sequential(*layers)
