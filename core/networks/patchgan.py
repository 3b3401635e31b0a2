"""The PatchGAN discriminator of pix2pix (Isola et al. 2017, section 6.1.2), at one scale or several."""

from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from limner.core.networks.config import PatchGANConfig
from limner.core.networks.init import init_weights
from limner.core.networks.layers import concat_style_maps, norm_layer


class Judgement(NamedTuple):
    """What a discriminator makes of a batch of pairs."""

    logits: list[Tensor]
    """(N, 1, H', W') of each scale, the finest first. Not probabilities: the loss applies the sigmoid (losses.py)."""
    features: list[Tensor]
    """The output of every activation of each scale, in the same order; empty unless asked for."""


class PatchGAN(nn.Module):
    """Judges overlapping patches of a photo-sketch pair; 3 strided layers see 70x70 pixels each.

    4x4 convolutions: C64 without norm, then width doubling to at most 8 times; the last two layers have stride 1.
    Further scales are networks of their own (pix2pixHD: Wang et al. 2018, section 3.2).
    """

    def __init__(self, config: PatchGANConfig, in_channels: int = 6, styles: int = 0) -> None:
        """in_channels: of photo and sketch together; styles: number of one-hot style maps joined to them, 0: none."""
        super().__init__()
        self.styles = styles
        channels = config.width
        layers: list[nn.Module] = [nn.Conv2d(in_channels + styles, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for level in range(1, config.layers + 1):
            inputs, channels = channels, config.width * min(2**level, 8)
            stride = 2 if level < config.layers else 1
            layers += [
                nn.Conv2d(inputs, channels, 4, stride=stride, padding=1, bias=config.norm == "none"),
                norm_layer(config.norm, channels),
                nn.LeakyReLU(0.2),
            ]
        layers.append(nn.Conv2d(channels, 1, 4, stride=1, padding=1))
        self.layers = nn.Sequential(*layers)
        coarser = replace(config, scales=config.scales - 1) if config.scales > 1 else None
        self.coarser = PatchGAN(coarser, in_channels, styles) if coarser is not None else None

    def forward(
        self, photo: Tensor, sketch: Tensor, style: Tensor | None = None, with_features: bool = False
    ) -> Judgement:
        """Judge photo and sketch (N, C, H, W) in [-1, 1]; for 256x256 and 3 layers by logits of 30x30.

        style: (N,) int64, read only if the network was built for styles.
        """
        x = concat_style_maps(torch.cat([photo, sketch], dim=1), style, self.styles)
        features: list[Tensor] = []
        for layer in self.layers:
            x = layer(x)
            if with_features and isinstance(layer, nn.LeakyReLU):
                features.append(x)
        if self.coarser is None:
            return Judgement([x], features)
        coarse = self.coarser(_half_size(photo), _half_size(sketch), style, with_features)
        return Judgement([x, *coarse.logits], features + coarse.features)


def build_patchgan(config: PatchGANConfig, channels: int, styles: int, seed: int) -> PatchGAN:
    """Build a discriminator with initial weights; `channels` and `styles` as of PatchGAN."""
    network = PatchGAN(config, channels, styles)
    init_weights(network, seed)
    if config.spectral_norm:
        with torch.random.fork_rng(devices=()):  # it starts from random vectors
            torch.manual_seed(seed)
            for module in list(network.modules()):
                if isinstance(module, nn.Conv2d):
                    spectral_norm(module)
    return network


def _half_size(images: Tensor) -> Tensor:
    """Images (N, C, S, S) at half the side, averaged over 3x3 pixels as in pix2pixHD."""
    return F.avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)
