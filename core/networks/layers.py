"""Layers that the networks share: normalisation and upsampling by name, conditioning on a style."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.core.networks.config import Norm, Upsample


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """The normalisation after a convolution with `channels` outputs; identity for "none".

    "instance" has affine weights and keeps no running statistics, so training and inference compute the same; it equals
    batch normalisation by batch statistics at batch size 1, which is how pix2pix's authors run their networks.
    """
    if norm == "instance":
        return InstanceNorm(channels, affine=True)
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.Identity()


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm that trains on CPUs by group norm's kernel with one channel a group, which takes half the time.

    Everywhere else it is torch's own, so that exporters and compilers see the operator that they know.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        if self.training and x.device.type == "cpu" and x.dtype == torch.float32 and not torch.compiler.is_compiling():
            return F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)
        normed: Tensor = super().forward(x)
        return normed


def upsample_layer(
    upsample: Upsample, in_channels: int, out_channels: int, bias: bool, kernel_size: int = 4
) -> nn.Module:
    """Make a layer (N, in_channels, H, W) -> (N, out_channels, 2H, 2W).

    "transpose" is a transposed convolution: pix2pix has kernels of 4, CycleGAN of 3; "resize", nearest neighbour and a
    3x3 convolution, is free of its checkerboard (Odena et al. 2016).
    """
    if upsample == "transpose":
        return nn.ConvTranspose2d(
            in_channels, out_channels, kernel_size, stride=2, padding=1, output_padding=kernel_size % 2, bias=bias
        )
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=bias),
    )


def one_hot(style: Tensor, styles: int, dtype: torch.dtype) -> Tensor:
    """(N,) int64 style numbers -> (N, styles) one-hot vectors; those that are vectors already stay."""
    if style.dim() == 2:
        return style.to(dtype)
    return (style[:, None] == torch.arange(styles, device=style.device)).to(dtype)


def concat_style_maps(image: Tensor, style: Tensor | None, styles: int) -> Tensor:
    """Concatenate one-hot style maps to images, (N, C, H, W) -> (N, C + styles, H, W); as they are for 0 styles.

    style: (N,) int64 in 0 ... styles - 1.
    """
    if not styles:
        return image
    if style is None:
        raise ValueError(f"this network needs a style of 0 to {styles - 1} per image")
    vectors = one_hot(style, styles, image.dtype)
    maps = vectors[:, :, None, None].expand(-1, -1, image.shape[2], image.shape[3])
    return torch.cat([image, maps], dim=1)


def concat_one_hot(latent: Tensor, style: Tensor | None, styles: int) -> Tensor:
    """Concatenate one-hot styles to latents, (N, Z) -> (N, Z + styles); as they are for 0 styles."""
    if not styles:
        return latent
    if style is None:
        raise ValueError(f"this network needs a style of 0 to {styles - 1} per image")
    return torch.cat([latent, one_hot(style, styles, latent.dtype)], dim=1)
