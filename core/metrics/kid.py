"""Kernel distance between two sets of features, without bias at any number of images; on Inception's it is the KID."""

import torch
from torch import Tensor

SUBSETS = 100
SUBSET_SIZE = 1000


def kernel_distance(features: Tensor, reference: Tensor, seed: int = 0) -> tuple[float, float]:
    """Squared maximum mean discrepancy under the kernel (x.y / D + 1)^3 (Bińkowski et al. 2018, section 4).

    features, reference: (N, D) and (M, D). Mean and standard deviation over 100 random subsets of at most 1,000 images
    and at most half of a set. The mean has no bias, so it may be slightly negative.
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(SUBSET_SIZE, len(features) // 2, len(reference) // 2)
    if size < 2:
        raise ValueError("kernel_distance needs at least 4 images on either side")
    estimates = []
    for _ in range(SUBSETS):
        ours, theirs = (
            part[torch.randperm(len(part), generator=generator)[:size]].double() for part in (features, reference)
        )
        estimates.append(squared_discrepancy(ours, theirs))
    values = torch.stack(estimates)
    return float(values.mean()), float(values.std())


def squared_discrepancy(ours: Tensor, theirs: Tensor) -> Tensor:
    """Gretton et al. 2012, equation 3: the unbiased estimate from (N, D) and (N, D); a scalar."""
    size = len(ours)
    own, other, crossed = _kernel(ours, ours), _kernel(theirs, theirs), _kernel(ours, theirs)
    pairs = own.sum() - own.trace() + other.sum() - other.trace()
    return pairs / (size * (size - 1)) - 2.0 * crossed.mean()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1.0) ** 3
