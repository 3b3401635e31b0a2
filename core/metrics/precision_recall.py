"""Precision and recall of a generator: the share of samples that are realistic, the share of the data covered."""

import math

import torch
from torch import Tensor

from limner.core.metrics.neighbours import nearest

NEIGHBOURS = 3


def precision_recall(features: Tensor, reference: Tensor) -> tuple[float, float]:
    """Compute the share of samples in the data's manifold and of the data in the samples' (Kynkäänniemi et al. 2019).

    features: of samples, (N, D); reference: of the data, (M, D); N and M >= 4. A manifold is the union of balls around
    its members, each with the distance to the 3rd nearest neighbour as its radius. Returns (precision, recall).
    """
    distances = torch.cdist(features.double(), reference.double())
    precision = (distances <= _radii(reference)[None, :]).any(dim=1).double().mean()
    recall = (distances <= _radii(features)[:, None]).any(dim=0).double().mean()
    return float(precision), float(recall)


def _radii(members: Tensor) -> Tensor:
    """(N,) distance from each member to its 3rd nearest neighbour, not counting itself."""
    found = nearest(members.double(), members.double(), NEIGHBOURS + 1)
    radii: Tensor = found.distance[:, -1] * math.sqrt(members.shape[1])
    return radii
