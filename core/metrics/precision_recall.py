"""Precision and recall of a generator: how much of it is good, and how much of the data it covers."""

import math

import torch
from torch import Tensor

from limner.core.metrics.neighbours import nearest

NEIGHBOURS = 3


def precision_recall(features: Tensor, reference: Tensor) -> tuple[float, float]:
    """Share of samples within the data's manifold, and of the data within the samples' (Kynkäänniemi et al. 2019).

    features of samples (N, D), of data (M, D). A manifold is the union of balls about its members that reach to their
    3rd nearest neighbour in the set.
    """
    distances = torch.cdist(features.double(), reference.double())
    precision = (distances <= _reach(reference)[None, :]).any(dim=1).double().mean()
    recall = (distances <= _reach(features)[:, None]).any(dim=0).double().mean()
    return float(precision), float(recall)


def _reach(members: Tensor) -> Tensor:
    """(N,) distance from each member to its 3rd nearest other; the nearest of all is itself."""
    found = nearest(members.double(), members.double(), NEIGHBOURS + 1)
    reach: Tensor = found.distance[:, -1] * math.sqrt(members.shape[1])
    return reach
