"""FSIM (Zhang et al. 2011, IEEE TIP 20): similarity of phase congruency and gradient, where there is structure.

Phase congruency is Kovesi's (1999), by log-Gabor filters of 4 scales and 4 orientations. The constants are those of
the authors' code, and of piq, whose values the test holds.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.float64]
"""(H, W)."""

SCALES, ORIENTATIONS = 4, 4
MIN_WAVELENGTH, RATIO, BANDWIDTH = 6, 2, 0.55
ANGULAR_SPREAD = 1.2
NOISE_DEVIATIONS = 2.0
"""Standard deviations of the noise's energy above its mean below which a response counts as noise."""
CUTOFF, SHARPNESS = 0.45, 15
"""Of the low pass that keeps the filters from the corners of the spectrum."""
T_CONGRUENCY, T_GRADIENT = 0.85, 160.0
SCHARR = np.array([[-3.0, 0.0, 3.0], [-10.0, 0.0, 10.0], [-3.0, 0.0, 3.0]]) / 16.0


def fsim(generated: Map, real: Map) -> float:
    """Compare two grey images (H, W) with values in [0, 255] by equation 12: 1 for equal images, higher is better."""
    congruency, gradient = _maps(generated)
    real_congruency, real_gradient = _cached_maps(real.tobytes(), real.shape)
    similarity = _similarity(congruency, real_congruency, T_CONGRUENCY)
    similarity *= _similarity(gradient, real_gradient, T_GRADIENT)
    weight = np.maximum(congruency, real_congruency)
    total = float(weight.sum())
    return float((similarity * weight).sum()) / total if total else 1.0


def _similarity(a: Map, b: Map, constant: float) -> Map:
    return (2.0 * a * b + constant) / (a * a + b * b + constant)


@lru_cache(maxsize=2)
def _cached_maps(values: bytes, shape: tuple[int, int]) -> tuple[Map, Map]:
    """Maps of a real image, which is compared with several."""
    return _maps(np.frombuffer(values).reshape(shape))


def _maps(image: Map) -> tuple[Map, Map]:
    """Phase congruency and gradient; an image of more than some 384 pixels is averaged down first."""
    factor = max(1, round(min(image.shape) / 256))
    height, width = (length // factor * factor for length in image.shape)
    blocks = image[:height, :width].reshape(height // factor, factor, width // factor, factor)
    small = blocks.mean(axis=(1, 3))
    return _phase_congruency(small), np.hypot(_filtered(small, SCHARR), _filtered(small, SCHARR.T))


def _filtered(image: Map, kernel: Map) -> Map:
    """Correlate with a 3x3 kernel; zeros around the image."""
    height, width = image.shape
    padded = np.pad(image, 1)
    parts = [kernel[i, j] * padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.asarray(np.sum(parts, axis=0))


@lru_cache(maxsize=2)
def _filters(height: int, width: int) -> Map:
    """(ORIENTATIONS, SCALES, H, W) transfer functions, zero frequency first."""
    rows, columns = np.meshgrid(_frequencies(height), _frequencies(width), indexing="ij")
    radius, angle = np.hypot(rows, columns), np.arctan2(-columns, rows)
    low_pass = 1.0 / (1.0 + (radius / CUTOFF) ** (2 * SHARPNESS))
    radius[0, 0] = 1.0
    filters = np.empty((ORIENTATIONS, SCALES, height, width))
    for orientation in range(ORIENTATIONS):
        apart = angle - orientation * math.pi / ORIENTATIONS
        apart = np.abs(np.arctan2(np.sin(apart), np.cos(apart)))
        spread = np.exp(-(apart**2) / (2.0 * (math.pi / (ORIENTATIONS * ANGULAR_SPREAD)) ** 2))
        for scale in range(SCALES):
            octaves = np.log(radius * MIN_WAVELENGTH * RATIO**scale)
            radial = np.exp(-(octaves**2) / (2.0 * math.log(BANDWIDTH) ** 2)) * low_pass
            radial[0, 0] = 0.0
            filters[orientation, scale] = spread * radial
    return filters


def _frequencies(length: int) -> Map:
    """Of a discrete Fourier transform, zero first; an odd length ends at one half on both sides."""
    if length % 2:
        return np.fft.ifftshift(np.arange(-(length - 1) / 2, length / 2) / max(1, length - 1))
    return np.fft.fftfreq(length).astype(np.float64)


def _phase_congruency(image: Map) -> Map:
    filters = _filters(*image.shape)
    response = np.fft.ifft2(np.fft.fft2(image) * filters)
    amplitude = np.abs(response)
    total = response.sum(axis=1, keepdims=True)
    mean = total / (np.abs(total) + np.finfo(np.float64).eps)
    turned = response * mean.conj()
    energy = (turned.real - np.abs(turned.imag)).sum(axis=1)
    energy = np.maximum(energy - _noise_threshold(filters, amplitude)[:, None, None], 0.0)
    return np.asarray(energy.sum(axis=0) / (amplitude.sum(axis=(0, 1)) + np.finfo(np.float64).eps))


def _noise_threshold(filters: Map, amplitude: Map) -> Map:
    """(ORIENTATIONS,) energy that noise would reach, from the median response of the smallest scale."""
    power = np.median(amplitude[:, 0] ** 2, axis=(1, 2)) / math.log(2.0) / (filters[:, 0] ** 2).sum(axis=(1, 2))
    kernels = np.fft.ifft2(filters).real * math.sqrt(filters.shape[2] * filters.shape[3])
    squares = (kernels**2).sum(axis=(1, 2, 3))
    products = ((kernels.sum(axis=1) ** 2).sum(axis=(1, 2)) - squares) / 2.0
    tau = np.sqrt(power * (squares + 2.0 * products))
    threshold = tau * (math.sqrt(math.pi / 2.0) + NOISE_DEVIATIONS * math.sqrt(2.0 - math.pi / 2.0))
    return np.asarray(threshold / 1.7)
