"""What a loader yields and a training step learns from, and the image contract for tensors."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from limner.core.images import from_uint8, to_uint8


@dataclass(frozen=True)
class Batch:
    """Images with what belongs to each of them.

    photo: (N, 3, S, S) float32 in [-1, 1], RGB.
    sketch: the same, or None where images are unpaired.
    style: (N,) int64, the style (or class) number of each image; zeros where the data set has none.
    position: (N,) int64, the index of each image in the endless stream of shuffled epochs; the random numbers of an
        image (noise, augmentation) are keyed by it, so that they do not depend on rank or batch size.
    """

    photo: Tensor
    sketch: Tensor | None
    style: Tensor
    position: Tensor

    def __len__(self) -> int:
        return len(self.photo)


def to_tensor(images: npt.NDArray[np.uint8]) -> Tensor:
    """(N, H, W, C) uint8 -> (N, C, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(from_uint8(images))


def to_images(tensor: Tensor) -> npt.NDArray[np.uint8]:
    """(N, C, H, W) float in [-1, 1], on any device -> (N, H, W, C) uint8, rounded to nearest, clipped."""
    return to_uint8(tensor.detach().float().cpu().numpy())
