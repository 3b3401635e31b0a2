"""How near a generated picture is to the real one of its pair: L1, PSNR and SSIM."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

SSIM_WINDOW = 7
"""Side of SSIM's windows in pixels; pictures must be at least as large."""


@dataclass(frozen=True)
class PairScores:
    """One pair's scores, or the means of those of many."""

    l1: float
    """Mean absolute difference over all pixels and channels, as a fraction of full range: 0 where equal, at most 1."""
    psnr_db: float
    """10 log10(range^2 / mean squared difference over all pixels and channels), in decibels; infinite where equal."""
    ssim: float
    """Structural similarity (Wang et al. 2004, equation 13), 1 where equal.

    scikit-image's default: windows of 7x7 pixels of equal weight that lie wholly within the picture, sample covariance,
    K1 = 0.01, K2 = 0.03; the mean over all windows of R, G and B, each by itself. For grey pictures that is the SSIM of
    their luma. (The paper's Gaussian windows of 11x11 give figures that are higher by about 0.02 on sketches.)
    """


def score_pair(generated: npt.NDArray[Any], real: npt.NDArray[Any], data_range: float = 255.0) -> PairScores:
    """Compare two pictures of one shape (H, W, C), whose values span `data_range`: 255 for uint8, 2 for [-1, 1]."""
    ours, theirs = generated.astype(np.float64), real.astype(np.float64)
    difference = (ours - theirs) / data_range
    squared = float(np.square(difference).mean())
    similarity = structural_similarity(ours, theirs, win_size=SSIM_WINDOW, data_range=data_range, channel_axis=2)
    return PairScores(
        l1=float(np.abs(difference).mean()),
        psnr_db=float(-10.0 * np.log10(squared)) if squared else float("inf"),
        ssim=float(similarity),
    )


def mean_scores(scores: Iterable[PairScores]) -> PairScores:
    """The mean over pictures of each score; at least one. One pair of equal pictures makes the mean PSNR infinite."""
    many = list(scores)
    return PairScores(*(fmean(getattr(one, name) for one in many) for name in ("l1", "psnr_db", "ssim")))
