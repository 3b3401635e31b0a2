"""Nearest training images: has a generator memorised its data?"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 32
"""Images are compared at this side, in pixels, so that a copy with other noise is still found."""
MAX_QUERIES = 256
"""Queries per block of the distance matrix, which bounds memory."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest candidates of N queries."""

    distance: Tensor
    """(N, count) root mean square differences, ascending, in the unit of the pixels."""
    index: Tensor
    """(N, count) int64 indices of the candidates."""


def nearest(queries: Tensor, candidates: Tensor, count: int = 1) -> Neighbours:
    """Find the `count` nearest candidates (M, D) of each query (N, D) by Euclidean distance."""
    distances = torch.cat([torch.cdist(block, candidates) for block in torch.split(queries, MAX_QUERIES)])
    found = (distances / queries.shape[1] ** 0.5).topk(count, dim=1, largest=False)
    return Neighbours(found.values, found.indices)


def nearest_images(images: Tensor, data: Tensor, count: int = 1) -> Neighbours:
    """Find the `count` images of the data (M, C, S, S), mirrored or not, nearest to each image (N, C, S, S)."""
    queries, original, mirrored = (_downsample(part) for part in (images, data, data.flip(3)))
    found = nearest(queries, torch.cat([original, mirrored]), 2 * count)
    index = found.index % len(data)
    # An image may be found both as it is and mirrored: the first, nearest, occurrence of each index is kept.
    repeated = (index[:, :, None] == index[:, None, :]).tril(-1).any(dim=2)
    order = repeated.long().argsort(dim=1, stable=True)[:, :count]
    return Neighbours(found.distance.gather(1, order), index.gather(1, order))


def distance_within(data: Tensor) -> Tensor:
    """Compute the distance of each image of the data (M, C, S, S) to the nearest other one: (M,)."""
    return nearest_images(data, data, 2).distance[:, 1]


def _downsample(images: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(images.double(), SIDE).flatten(1)
