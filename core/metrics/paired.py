"""Metrics of a generated image against the real one of its pair. A metric is a function and a row of PAIR_METRICS."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

SSIM_WINDOW = 7
"""Side of SSIM's windows in pixels; images must be at least as large."""

Image = npt.NDArray[np.float64]
"""(H, W, C), values within a range of known width."""
PairScores = dict[str, float]
"""Value of each metric by its key: of one pair, or means over several."""


def l1(generated: Image, real: Image, data_range: float) -> float:
    """Compute the mean absolute difference over pixels and channels as a fraction of full range, in [0, 1]."""
    return float(np.abs((generated - real) / data_range).mean())


def psnr_db(generated: Image, real: Image, data_range: float) -> float:
    """Compute 10 log10(range^2 / mean squared difference) in decibels; infinite for equal images."""
    squared = float(np.square((generated - real) / data_range).mean())
    return float(-10.0 * np.log10(squared)) if squared else float("inf")


def ssim(generated: Image, real: Image, data_range: float) -> float:
    """Compute structural similarity (Wang et al. 2004, equation 13): 1 for equal images.

    scikit-image's default: uniform 7x7 windows that lie wholly within the image, sample covariance, K1 = 0.01,
    K2 = 0.03; the mean over windows and over R, G and B, each by itself. For grey images that is the SSIM of their
    luma. (The paper's Gaussian 11x11 windows give values that are higher by about 0.02 on sketches.)
    """
    from skimage.metrics import structural_similarity  # the evaluation of portraits works without it

    return float(structural_similarity(generated, real, win_size=SSIM_WINDOW, data_range=data_range, channel_axis=2))


@dataclass(frozen=True)
class PairMetric:
    """A row of PAIR_METRICS."""

    key: str
    """Field of metrics.json."""
    title: str
    """Column of tables, with the unit."""
    decimals: int
    """Digits after the point in tables."""
    definition: str
    """One sentence for readers of a report, with the direction of better."""
    compute: Callable[[Image, Image, float], float]
    """(generated, real, width of the range of values) -> value."""
    weights: tuple[str, ...] = ()
    """Names of the published weights that it needs."""
    default: bool = True
    """Whether an evaluation computes it unasked; not if it takes seconds a pair."""


PAIR_METRICS = (
    PairMetric(
        "l1",
        "L1",
        4,
        "Mean absolute difference of pixel values as a fraction of full range: 0 for equal images, lower is better.",
        l1,
    ),
    PairMetric(
        "psnr_db",
        "PSNR (dB)",
        2,
        "Peak signal-to-noise ratio, the mean squared difference on a logarithmic scale: higher is better.",
        psnr_db,
    ),
    PairMetric(
        "ssim",
        "SSIM",
        4,
        "Structural similarity of 7x7 windows, averaged over R, G and B: 1 for equal images, higher is better.",
        ssim,
    ),
)


def score_pair(
    generated: npt.NDArray[Any],
    real: npt.NDArray[Any],
    data_range: float = 255.0,
    metrics: Sequence[PairMetric] = PAIR_METRICS,
) -> PairScores:
    """Compare two images of one shape (H, W, C) by each metric.

    data_range: width of the range of values, 255 for uint8 and 2 for [-1, 1].
    """
    images = generated.astype(np.float64), real.astype(np.float64)
    return {metric.key: metric.compute(*images, data_range) for metric in metrics}


def mean_scores(scores: Iterable[PairScores]) -> PairScores:
    """Average each metric over at least one pair; one pair of equal images makes the mean PSNR infinite."""
    rows = list(scores)
    return {key: fmean(row[key] for row in rows) for key in rows[0]}
