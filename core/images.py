"""The image contract, written once: NCHW float in [-1, 1], RGB, and its way to and from uint8."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Uint8Image = npt.NDArray[np.uint8]
"""One picture as files hold it: (H, W, 3) uint8, RGB."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B in grey (ITU-R BT.601), as in a JPEG."""


@dataclass(frozen=True)
class Batch:
    """What a loader yields and a training step eats.

    photo: (N, 3, S, S) float32 in [-1, 1], RGB.
    sketch: the same, or None where images are unpaired.
    style: (N,) int64, the style (or class) number of each image; zeros where the data set has none.
    position: (N,) int64, the place of each image in the endless stream of shuffled epochs; random draws that belong to
        an image (noise, augmentation) are keyed by it, so that they do not depend on rank or batch size.
    """

    photo: Tensor
    sketch: Tensor | None
    style: Tensor
    position: Tensor

    def __len__(self) -> int:
        return len(self.photo)


def from_uint8(images: npt.NDArray[np.uint8]) -> Tensor:
    """(N, H, W, C) uint8 -> (N, C, H, W) float32 in [-1, 1]; x / 127.5 - 1."""
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    return tensor.permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> npt.NDArray[np.uint8]:
    """(N, C, H, W) float in [-1, 1] -> (N, H, W, C) uint8, rounded to nearest, clipped."""
    scaled = images.detach().float().add(1.0).mul(127.5).round_().clamp_(0.0, 255.0)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
