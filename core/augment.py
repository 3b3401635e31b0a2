"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): random changes to all that the discriminator sees.

Real and generated images are augmented alike and gradients flow through, so the generator does not learn the
augmentation, as it does if only the data is augmented.
"""

from dataclasses import replace

import torch
from torch import Tensor

from limner.core.config import DiffAugmentConfig

NUMBERS_PER_IMAGE = 7
"""Uniform random numbers that one image takes."""


def diff_augment(images: Tensor, config: DiffAugmentConfig, numbers: Tensor) -> Tensor:
    """Augment images (N, C, S, S) in about [-1, 1] by random numbers (N, 7) in (0, 1); what is uncovered becomes 0."""
    brightness, saturation, contrast, x, y, hole_x, hole_y = numbers.unbind(dim=1)
    if config.colour:
        images = _colour(images, brightness, saturation, contrast)
    side = images.shape[-1]
    if config.translation > 0.0:
        reach = round(config.translation * side)
        images = _shift(images, _whole(x, 2 * reach + 1) - reach, dim=3)
        images = _shift(images, _whole(y, 2 * reach + 1) - reach, dim=2)
    if config.cutout > 0.0:
        images = images * _holes(_whole(hole_x, side), _whole(hole_y, side), side, round(config.cutout * side))
    return images


def diff_augment_pair(
    photo: Tensor, sketch: Tensor, config: DiffAugmentConfig, numbers: Tensor
) -> tuple[Tensor, Tensor]:
    """Augment pairs, each (N, C, S, S): translation and cutout alike, colours of the photo only.

    A sketch's paper and pencil are what is learned; a photo's colours say little of it.
    """
    photo = diff_augment(photo, replace(config, translation=0.0, cutout=0.0), numbers)
    pair = diff_augment(torch.cat([photo, sketch], dim=1), replace(config, colour=False), numbers)
    return pair[:, : photo.shape[1]], pair[:, photo.shape[1] :]


def _colour(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Brightness by up to half of 1 either way, saturation by 0 to 2 about a pixel's mean, contrast by 0.5 to 1.5."""
    images = images + (brightness - 0.5)[:, None, None, None]
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (2.0 * saturation)[:, None, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (contrast + 0.5)[:, None, None, None]


def _whole(numbers: Tensor, count: int) -> Tensor:
    """(N,) in (0, 1) -> (N,) int64 in 0 ... count - 1."""
    return (numbers * count).long()


def _shift(images: Tensor, by: Tensor, dim: int) -> Tensor:
    """Images (N, C, S, S) moved along `dim` by (N,) whole pixels, zeros moving in."""
    side = images.shape[dim]
    shape = [len(by), 1, 1, 1]
    shape[dim] = side
    source = (torch.arange(side, device=by.device) - by[:, None]).view(shape)
    inside = (source >= 0) & (source < side)
    return images.gather(dim, source.clamp(0, side - 1).expand(images.shape)) * inside


def _holes(x: Tensor, y: Tensor, side: int, width: int) -> Tensor:
    """Masks (N, 1, side, side): 0 in a square of `width` about (x, y), 1 elsewhere."""
    place = torch.arange(side, device=x.device)
    columns = (place - x[:, None] + width // 2).clamp(-1, width)  # 0 ... width - 1 inside the square
    rows = (place - y[:, None] + width // 2).clamp(-1, width)
    in_columns, in_rows = ((part >= 0) & (part < width) for part in (columns, rows))
    return ~(in_rows[:, None, :, None] & in_columns[:, None, None, :])
