"""SCOOT (Fan et al. 2019, ICCV), the structure co-occurrence texture measure of face sketches, after its toolbox."""

import numpy as np
import numpy.typing as npt

LEVELS = 6
"""Grey levels that are distinguished."""
BLOCKS = 4
"""Blocks along each side, whose textures are compared one by one."""
OFFSETS = ((0, 1), (-1, 1), (-1, 0), (-1, -1))
"""Rows and columns from a pixel to the neighbour that is counted with it."""


def scoot(generated: npt.NDArray[np.float64], real: npt.NDArray[np.float64]) -> float:
    """Compare two grey images (H, W) with values in [0, 255]: 1 for equal textures, higher is better, above 0."""
    return float(1.0 / (1.0 + np.linalg.norm(_texture(generated) - _texture(real))))


def _texture(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Contrast and energy of the co-occurrences in each block: (2 * BLOCKS^2,)."""
    levels = np.minimum(np.floor(image * (LEVELS / 255.0)).astype(np.int64), LEVELS - 1)
    values: list[float] = []
    for rows in np.array_split(levels, BLOCKS, axis=0):
        for block in np.array_split(rows, BLOCKS, axis=1):
            values += _contrast_and_energy(block)
    return np.array(values)


def _contrast_and_energy(block: npt.NDArray[np.int64]) -> tuple[float, float]:
    height, width = block.shape
    counts = np.zeros(LEVELS * LEVELS)
    for down, right in OFFSETS:
        first = block[-down:, max(0, -right) : width - max(0, right)]
        second = block[: height + down, max(0, right) : width - max(0, -right)]
        counts += np.bincount((first * LEVELS + second).ravel(), minlength=LEVELS * LEVELS)
    counts = np.floor(counts / len(OFFSETS) + 0.5)  # the toolbox rounds the mean count
    share = counts / max(1.0, counts.sum())
    one, other = np.divmod(np.arange(LEVELS * LEVELS), LEVELS)
    return float((share * (one - other) ** 2).sum()), float((share**2).sum())
