import math

import numpy as np
import pytest

from limner.core.metrics.bootstrap import mean_interval


def test_it_is_near_the_normal_interval_of_many_values(rng: np.random.Generator) -> None:
    values = rng.normal(3.0, 2.0, 400).tolist()
    low, high = mean_interval(values)
    error = 1.96 * np.std(values) / math.sqrt(len(values))
    assert low == pytest.approx(np.mean(values) - error, abs=0.05)
    assert high == pytest.approx(np.mean(values) + error, abs=0.05)
    assert mean_interval(values) == (low, high)


def test_equal_values_have_no_width_and_one_value_no_interval() -> None:
    assert mean_interval([0.5] * 9) == (0.5, 0.5)
    assert all(map(math.isnan, mean_interval([0.5])))
    assert all(map(math.isnan, mean_interval([1.0, math.inf])))
