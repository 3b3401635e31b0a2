"""The PatchGAN discriminator of pix2pix (Isola et al. 2017, section 6.1.2)."""

from torch import Tensor, nn

from core.config import PatchGANConfig
from core.networks.layers import norm_layer


class PatchGAN(nn.Module):
    """Judges overlapping patches of a photo-sketch pair; 3 strided layers see 70x70 pixels each.

    4x4 convolutions: C64 without norm, then width doubling to at most 8 times; the last two layers have stride 1.
    Logits, not probabilities: the loss applies the sigmoid (losses.py).
    """

    def __init__(self, config: PatchGANConfig, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, config.width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels = config.width
        for level in range(1, config.layers + 1):
            inputs, channels = channels, config.width * min(2**level, 8)
            stride = 2 if level < config.layers else 1
            layers.append(nn.Conv2d(inputs, channels, 4, stride=stride, padding=1, bias=config.norm == "none"))
            layers.append(norm_layer(config.norm, channels))
            layers.append(nn.LeakyReLU(0.2))
        layers.append(nn.Conv2d(channels, 1, 4, stride=1, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, pair: Tensor) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1] -> logits (N, 1, H', W'); 30x30 for 256x256 and 3 layers."""
        logits: Tensor = self.layers(pair)
        return logits
