"""The image contract, written once: NCHW float in [-1, 1], RGB, and its way to and from uint8. Needs numpy alone."""

from typing import Any

import numpy as np
import numpy.typing as npt

Uint8Image = npt.NDArray[np.uint8]
"""One image as files hold it: (H, W, 3) uint8, RGB."""
FloatImages = npt.NDArray[np.float32]
"""A batch as networks see it: (N, C, H, W) float32 in [-1, 1]."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B in grey (ITU-R BT.601), as in a JPEG."""


def from_uint8(images: npt.NDArray[np.uint8]) -> FloatImages:
    """(N, H, W, C) uint8 -> (N, C, H, W) float32 in [-1, 1]; x / 127.5 - 1."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
    planes /= np.float32(127.5)
    planes -= np.float32(1.0)
    return planes


def to_uint8(images: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """(N, C, H, W) float in [-1, 1] -> (N, H, W, C) uint8, rounded to nearest, clipped."""
    scaled = images.astype(np.float32) + np.float32(1.0)
    scaled *= np.float32(127.5)
    np.rint(scaled, out=scaled)
    np.clip(scaled, 0.0, 255.0, out=scaled)
    return np.ascontiguousarray(scaled.astype(np.uint8).transpose(0, 2, 3, 1))
