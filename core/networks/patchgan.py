"""The PatchGAN discriminator of pix2pix (Isola et al. 2017, section 6.1.2)."""

import torch
from torch import Tensor, nn

from limner.core.networks.config import PatchGANConfig
from limner.core.networks.layers import concat_style_maps, norm_layer


class PatchGAN(nn.Module):
    """Judges overlapping patches of a photo-sketch pair; 3 strided layers see 70x70 pixels each.

    4x4 convolutions: C64 without norm, then width doubling to at most 8 times; the last two layers have stride 1.
    Logits, not probabilities: the loss applies the sigmoid (losses.py).
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

    def forward(
        self, photo: Tensor, sketch: Tensor, style: Tensor | None = None, with_features: bool = False
    ) -> Tensor | list[Tensor]:
        """Photo and sketch (N, C, H, W) in [-1, 1] -> logits (N, 1, H', W'); 30x30 for 256x256 and 3 layers.

        style: (N,) int64, read only if the network was built for styles. with_features: give the output of every
        activation from the first to the last, then the logits.
        """
        x = concat_style_maps(torch.cat([photo, sketch], dim=1), style, self.styles)
        features: list[Tensor] = []
        for layer in self.layers:
            x = layer(x)
            if with_features and isinstance(layer, nn.LeakyReLU):
                features.append(x)
        return [*features, x] if with_features else x
