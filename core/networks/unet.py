"""The U-Net generator of pix2pix (Isola et al. 2017, section 6.1.1)."""

import dataclasses

import torch
from torch import Tensor, nn

from limner.core.config import Norm, UNetConfig
from limner.core.networks.layers import norm_layer, style_maps, upsample_layer

DROPOUT_BLOCKS = 3
"""Decoder blocks with dropout, counted from the bottleneck, as in the authors' models.lua."""


class UNet(nn.Module):
    """Photo in, sketch out: `depth` strided convolutions down, as many doublings up, joined level by level.

    Every convolution is 4x4 with stride 2; encoder level i has width * min(2^i, 8) channels. The outermost and the
    innermost encoder level have no norm. A convolution has a bias only where no norm follows that would undo it.
    The decoder's input at each level is cat([skip, upsampled]), the order of the common PyTorch port.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        if config.depth is None:
            raise ValueError("UNetConfig.depth is None: resolve it against the image size first")
        self.config = config
        channels = [config.width * min(2**level, 8) for level in range(config.depth)]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, outputs in enumerate(channels):
            outermost, innermost = level == 0, level == config.depth - 1
            inputs = config.in_channels + config.styles if outermost else channels[level - 1]
            self.down.append(_down_block(inputs, outputs, "none" if outermost or innermost else config.norm, outermost))
            up_inputs = outputs if innermost else 2 * outputs
            self.up.append(_up_block(config, level, up_inputs, config.out_channels if outermost else inputs))

    def forward(self, photo: Tensor, style: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1], style (N,) int64 if conditioned -> (N, out_channels, H, W) in [-1, 1].

        H and W must be multiples of 2^depth.
        """
        x = photo
        if self.config.styles:
            if style is None:
                raise ValueError(f"this generator needs a style of 0 to {self.config.styles - 1} per image")
            x = torch.cat([photo, style_maps(style, self.config.styles, photo)], dim=1)
        skips: list[Tensor] = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        for level in range(len(self.up) - 1, -1, -1):
            x = self.up[level](x)
            if level > 0:
                x = torch.cat([skips[level - 1], x], dim=1)
        return torch.tanh(x)


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Endings of the names of batch norm's buffers, which instance norm does not have."""


def inference_config(config: UNetConfig) -> UNetConfig:
    """The architecture to use a trained U-Net with: without dropout, and with instance norm in place of batch norm.

    pix2pix's authors run batch norm by batch statistics at test time too, at batch 1; instance norm with the same
    affine weights computes just that, and at any batch size.
    """
    return dataclasses.replace(config, dropout=0.0, norm="instance" if config.norm == "batch" else config.norm)


def for_inference(generator: nn.Module) -> nn.Module:
    """The generator as it is shown, measured and bundled: a U-Net in its `inference_config`, others as they are."""
    if not isinstance(generator, UNet) or generator.config == inference_config(generator.config):
        return generator
    with torch.device("meta"):  # drawing weights would move the random state of a run on its first rank only
        twin = UNet(inference_config(generator.config))
    weights = {name: value for name, value in generator.state_dict().items() if not name.endswith(STATISTICS)}
    twin.load_state_dict(weights, strict=True, assign=True)
    return twin.to(next(generator.parameters()).device).eval().requires_grad_(False)


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
