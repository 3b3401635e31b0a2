"""How far a mean over pairs can be trusted."""

import math
from collections.abc import Sequence

import numpy as np

RESAMPLES = 1000


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Compute the 95 % interval of the mean by the percentile bootstrap (Efron 1979); the same for the same values.

    NaN for less than two values, and for infinite ones.
    """
    found = np.asarray(values, np.float64)
    if len(found) < 2 or not np.isfinite(found).all():
        return math.nan, math.nan
    picks = np.random.default_rng(0).integers(0, len(found), (RESAMPLES, len(found)))
    low, high = np.percentile(found[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
