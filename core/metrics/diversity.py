"""How different pictures are from each other."""

import torch
from torch import Tensor


def mean_pairwise_distance(images: Tensor) -> float:
    """Mean over all pairs of (N, ...) of their root mean square difference, in the unit of the values; N at least 2."""
    flat = images.detach().flatten(1).double()
    distances: Tensor = torch.pdist(flat)
    return float(distances.mean() / flat.shape[1] ** 0.5)
