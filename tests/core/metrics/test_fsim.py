"""FSIM against values of piq 0.8 (`fsim`, chromatic=False, data_range=255, double precision)."""

import numpy as np
import pytest

from limner.core.metrics.fsim import Map, fsim


def waves(height: int, width: int) -> tuple[Map, Map]:
    rows, columns = np.mgrid[:height, :width]
    real = (128 + 80 * np.sin(columns / 5) * np.cos(rows / 7)).round()
    return real, np.clip(real + 20 * np.sin((columns + rows) / 3), 0, 255).round()


@pytest.mark.parametrize(("shape", "published"), [((96, 96), 0.887820), ((97, 64), 0.886507)])
def test_it_gives_what_piq_gives(shape: tuple[int, int], published: float) -> None:
    real, other = waves(*shape)
    assert fsim(real, other) == pytest.approx(published, abs=1e-4)
    assert fsim(other, real) == pytest.approx(published, abs=1e-4)


def test_equal_images_and_empty_ones() -> None:
    real, _ = waves(64, 80)
    assert fsim(real, real) == pytest.approx(1.0)
    assert fsim(np.full((32, 32), 255.0), np.full((32, 32), 255.0)) == 1.0


def test_large_images_are_averaged_down() -> None:
    real, other = waves(256, 256)
    doubled = [np.repeat(np.repeat(image, 2, axis=0), 2, axis=1) for image in (real, other)]
    assert fsim(*doubled) == pytest.approx(fsim(real, other))
