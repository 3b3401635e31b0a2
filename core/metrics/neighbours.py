"""Nearest training pictures: has a generator learned its data by heart?"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 32
"""Pictures are compared at this side, in pixels: a copy is a copy although its noise differs."""
BLOCK = 256


@dataclass(frozen=True)
class Neighbours:
    """What lies nearest to each of N pictures."""

    distance: Tensor
    """(N, count) root mean square differences, ascending, in the unit of the pixels."""
    number: Tensor
    """(N, count) int64 places among the candidates."""


def nearest(queries: Tensor, candidates: Tensor, count: int = 1) -> Neighbours:
    """The `count` nearest candidates of each query, (N, D) and (M, D), by Euclidean distance."""
    distances = torch.cat([torch.cdist(block, candidates) for block in torch.split(queries, BLOCK)])
    found = (distances / queries.shape[1] ** 0.5).topk(count, dim=1, largest=False)
    return Neighbours(found.values, found.indices)


def nearest_pictures(images: Tensor, data: Tensor, count: int = 1) -> Neighbours:
    """The `count` of the data's pictures (M, C, S, S), mirrored or not, that are nearest to each image (N, C, S, S)."""
    queries, straight, mirrored = (_small(part) for part in (images, data, data.flip(3)))
    found = nearest(queries, torch.cat([straight, mirrored]), 2 * count)
    number = found.number % len(data)
    # A picture may be found as it is and mirrored: of each number the first, nearest, finding stays.
    repeated = (number[:, :, None] == number[:, None, :]).tril(-1).any(dim=2)
    order = repeated.long().argsort(dim=1, stable=True)[:, :count]
    return Neighbours(found.distance.gather(1, order), number.gather(1, order))


def own_distance(data: Tensor) -> Tensor:
    """(M,) distance of each of the data's pictures (M, C, S, S) to the nearest other one: the measure for samples'."""
    return nearest_pictures(data, data, 2).distance[:, 1]


def _small(images: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(images.double(), SIDE).flatten(1)
