"""Kernel distance between two sets of features, unbiased for any number of images; with Inception's it is the KID."""

import torch
from torch import Tensor

SUBSETS = 100
SUBSET_SIZE = 1000


def kernel_distance(features: Tensor, reference: Tensor, seed: int = 0) -> tuple[float, float]:
    """Compute the squared maximum mean discrepancy with kernel (x.y / D + 1)^3 (Bińkowski et al. 2018, section 4).

    features, reference: (N, D) and (M, D), N and M >= 4. Returns mean and standard deviation over 100 random subsets of
    at most 1,000 images and at most half of a set. The mean is unbiased, so it may be slightly negative.
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(SUBSET_SIZE, len(features) // 2, len(reference) // 2)
    if size < 2:
        raise ValueError("kernel_distance needs at least 4 images on either side")
    estimates = []
    for _ in range(SUBSETS):
        first, second = (
            part[torch.randperm(len(part), generator=generator)[:size]].double() for part in (features, reference)
        )
        estimates.append(squared_discrepancy(first, second))
    values = torch.stack(estimates)
    return float(values.mean()), float(values.std())


def squared_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Estimate the squared discrepancy of two (N, D) without bias (Gretton et al. 2012, equation 3); a scalar."""
    size = len(first)
    within_first, within_second = _kernel(first, first), _kernel(second, second)
    pairs = within_first.sum() - within_first.trace() + within_second.sum() - within_second.trace()
    return pairs / (size * (size - 1)) - 2.0 * _kernel(first, second).mean()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1.0) ** 3
