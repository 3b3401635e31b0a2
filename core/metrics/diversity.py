"""Diversity of a set of images."""

import torch
from torch import Tensor


def mean_pairwise_distance(images: Tensor) -> float:
    """Average the root mean square difference over all pairs of (N, ...), N >= 2, in the unit of the values."""
    flat = images.detach().flatten(1).double()
    distances: Tensor = torch.pdist(flat)
    return float(distances.mean() / flat.shape[1] ** 0.5)
