"""Images as a program may hold them -> (H, W, 3) uint8 RGB."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, ImageOps

from limner.core.images import Uint8Image, to_uint8
from limner.core.util.errors import UserError
from limner.data_pipeline.images import read_image

if TYPE_CHECKING:  # a translator that runs on OpenVINO or ONNX Runtime works without torch
    from torch import Tensor

ImageLike: TypeAlias = "str | Path | Image.Image | Uint8Image | Tensor"
"""A file, a PIL image of any mode, an (H, W, 3) uint8 RGB array, or a (3, H, W) float tensor in [-1, 1]."""

ALLOWED = "a path, a PIL image, an (H, W, 3) uint8 array, a (3, H, W) float tensor in [-1, 1], or a list of these"
WHITE = 255
"""Colour behind transparent pixels, as data_pipeline.images has it for files."""
TOLERANCE = 1e-3
"""How far the values of a tensor may lie outside [-1, 1] by rounding."""


def to_rgb_array(image: ImageLike) -> Uint8Image:
    """Convert to (H, W, 3) uint8 RGB: upright by its EXIF tag, transparency on white.

    Raises UserError for anything that is not an ImageLike, and for a file that cannot be read.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise UserError(f"got an array of {image.shape} {image.dtype}: give (H, W, 3) uint8, RGB")
        return np.ascontiguousarray(image)
    if _is_tensor(image):
        return _from_tensor(image)
    raise UserError(f"got {type(image).__name__}: give {ALLOWED}")


def _from_pil(image: Image.Image) -> Uint8Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        grey = np.rint(np.asarray(upright) / 257.0).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if upright.mode in ("I", "F"):
        raise UserError(f"got a PIL image of mode {upright.mode}: give one of 8 or 16 bits, such as mode RGB or L")
    if not upright.has_transparency_data:
        return np.array(upright.convert("RGB"))
    rgba = np.asarray(upright.convert("RGBA"), np.float32)
    alpha = rgba[..., 3:] / 255.0
    rgb: Uint8Image = np.rint(rgba[..., :3] * alpha + WHITE * (1.0 - alpha)).astype(np.uint8)
    return rgb


def _from_tensor(tensor: "Tensor") -> Uint8Image:
    if tensor.ndim != 3 or tensor.shape[0] != 3 or not tensor.is_floating_point() or not tensor.numel():
        raise UserError(f"got a tensor of {tuple(tensor.shape)} {tensor.dtype}: give (3, H, W) float in [-1, 1]")
    values = tensor.detach().float().cpu().numpy()
    if not (np.abs(values) <= 1.0 + TOLERANCE).all():  # not with NaN either
        raise UserError(f"got a tensor with values of {values.min():.3g} to {values.max():.3g}: scale it to [-1, 1]")
    image: Uint8Image = to_uint8(values[None])[0]
    return image


def _is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor; nobody has one before torch is imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
