"""SCOOT against the toolbox's definition, pixel by pixel, and scikit-image's co-occurrence properties."""

import numpy as np
import pytest
from skimage.feature import graycoprops

from limner.core.metrics.scoot import LEVELS, scoot

Grey = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def by_hand(image: Grey) -> list[float]:
    levels = np.minimum(np.floor(image * 6 / 255), 5).astype(int)
    values: list[float] = []
    for i in range(4):
        for j in range(4):
            block = np.array_split(np.array_split(levels, 4, axis=0)[i], 4, axis=1)[j]
            height, width = block.shape
            counts = np.zeros((LEVELS, LEVELS))
            for row in range(height):
                for column in range(width):
                    for down, right in ((0, 1), (-1, 1), (-1, 0), (-1, -1)):
                        if 0 <= row + down < height and 0 <= column + right < width:
                            counts[block[row, column], block[row + down, column + right]] += 1 / 4
            matrix = np.floor(counts + 0.5)[:, :, None, None].astype(np.uint32)
            values += [float(graycoprops(matrix, name)[0, 0]) for name in ("contrast", "ASM")]
    return values


@pytest.mark.parametrize("shape", [(32, 32), (41, 30)])
def test_it_is_the_toolboxs(shape: tuple[int, int], rng: np.random.Generator) -> None:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    real = 255.0 * (np.sin(rows / 4) * np.cos(columns / 6) > 0)
    other = np.clip(real + rng.normal(0, 60, shape), 0, 255)
    apart = np.array(by_hand(real)) - by_hand(other)
    assert scoot(other, real) == pytest.approx(1 / (1 + np.sqrt((apart**2).sum())))


def test_equal_images_are_at_the_top(rng: np.random.Generator) -> None:
    image = rng.uniform(0, 255, (24, 24))
    assert scoot(image, image) == 1.0
    assert 0.0 < scoot(image, np.full_like(image, 255.0)) < 0.6
