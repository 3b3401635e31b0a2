"""Layers that the networks share: normalisation by name, and doubling of the resolution."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.core.config import Norm, Upsample


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


def upsample_layer(upsample: Upsample, in_channels: int, out_channels: int, bias: bool) -> nn.Module:
    """(N, in_channels, H, W) -> (N, out_channels, 2H, 2W).

    "transpose" is the paper's 4x4 transposed convolution; "resize" is free of its checkerboard (Odena et al. 2016).
    """
    if upsample == "transpose":
        return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=bias)
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=bias),
    )


def one_hot(style: Tensor, styles: int, dtype: torch.dtype) -> Tensor:
    """(N,) int64 style numbers -> (N, styles) one-hot vectors."""
    return (style[:, None] == torch.arange(styles, device=style.device)).to(dtype)


def style_maps(style: Tensor, styles: int, like: Tensor) -> Tensor:
    """(N,) int64 style numbers -> (N, styles, H, W) one-hot maps of the size and dtype of `like` (N, C, H, W)."""
    vectors = one_hot(style, styles, like.dtype)
    return vectors[:, :, None, None].expand(-1, -1, like.shape[2], like.shape[3])
