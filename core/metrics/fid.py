"""Fréchet distance between two sets of features; with Inception's features it is the FID."""

import torch
from torch import Tensor


def frechet_distance(features: Tensor, reference: Tensor) -> float:
    """Compute the Fréchet distance of normal distributions fitted to both sets (Heusel et al. 2017, equation 6).

    features, reference: (N, D) and (M, D). Biased upwards for few images: compare only values of equal N and M.
    """
    mean, other_mean = features.double().mean(dim=0), reference.double().mean(dim=0)
    covariance, other = torch.cov(features.double().T), torch.cov(reference.double().T)
    root = _root(covariance)
    # tr sqrt(A B) is the sum of the roots of the eigenvalues of sqrt(A) B sqrt(A), which is symmetric.
    crossed = torch.linalg.eigvalsh(root @ other @ root).clamp(min=0.0).sqrt().sum()
    return float((mean - other_mean).square().sum() + covariance.trace() + other.trace() - 2.0 * crossed)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=0.0).sqrt()) @ vectors.T
    return root
