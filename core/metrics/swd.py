"""Sliced Wasserstein distance between the patches of two sets of images, level by level of a Laplacian pyramid.

Karras et al. 2018 (arXiv:1710.10196), section 5: small levels compare large shapes, large levels texture. Patches and
projections are sampled from a seed.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from limner.core.noise import RngStream, normal, uniform

PATCH = 7
PATCHES_PER_IMAGE = 64
PROJECTIONS = 128
SMALLEST = 16
"""Side of the pyramid's last level, in pixels."""
SCALE = 1000.0
"""Distances are in thousandths, as in the paper's tables."""


def sliced_wasserstein(images: Tensor, reference: Tensor, seed: int = 0) -> dict[int, float]:
    """Compute the distance at each pyramid level, by the level's side in pixels (S down to 16); lower is better.

    images, reference: (N, C, S, S), equal N and S: sorted projections are compared one by one.
    Each level's patches are normalised by channel, as in the authors' code, each set by its own mean and deviation.
    Raises ValueError for sets of different shapes.
    """
    if images.shape != reference.shape:
        raise ValueError(f"got sets of {images.shape} and {reference.shape}: both must have one size and number")
    distances = {}
    for level, other in zip(laplacian_pyramid(images), laplacian_pyramid(reference), strict=True):
        side = level.shape[-1]
        first, second = (_descriptors(part, seed) for part in (level, other))
        gaussian = normal(seed, RngStream.PROJECTION, torch.arange(first.shape[1]), PROJECTIONS)
        directions = F.normalize(gaussian, dim=0).T
        first, second = ((directions @ part.T).sort(dim=1).values for part in (first, second))
        distances[side] = SCALE * float((first - second).abs().mean())
    return distances


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """Split (N, C, S, S) into details at S, S/2, ... and a low-pass image at 16; the filters are 5x5 binomial."""
    levels = []
    while images.shape[-1] > SMALLEST:
        smaller = _downsample(images)
        levels.append(images - _upsample(smaller))
        images = smaller
    return [*levels, images]


def _blur(images: Tensor) -> Tensor:
    """Convolve with [1 4 6 4 1] / 16 along both axes, reflecting at the edges."""
    weights = images.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    channels = images.shape[1]
    kernel = torch.outer(weights, weights).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=channels)


def _downsample(images: Tensor) -> Tensor:
    return _blur(images)[:, :, ::2, ::2]


def _upsample(images: Tensor) -> Tensor:
    spread = images.new_zeros(*images.shape[:2], 2 * images.shape[2], 2 * images.shape[3])
    spread[:, :, ::2, ::2] = images
    return 4.0 * _blur(spread)


def _descriptors(level: Tensor, seed: int) -> Tensor:
    """Sample PATCHES_PER_IMAGE patches of each image, normalised: (N * PATCHES_PER_IMAGE, C * PATCH^2)."""
    count, side = len(level), level.shape[-1]
    positions = uniform(seed, RngStream.PATCH, torch.arange(count), 2 * PATCHES_PER_IMAGE)
    rows, columns = (positions * (side - PATCH + 1)).long().chunk(2, dim=1)
    windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (N, C, rows, columns, PATCH, PATCH), a view
    patches = windows[torch.arange(count)[:, None], :, rows, columns]
    deviation, mean = torch.std_mean(patches, dim=(0, 1, 3, 4), keepdim=True)
    return ((patches - mean) / deviation.clamp(min=1e-8)).reshape(count * PATCHES_PER_IMAGE, -1)
