import math
import re

import numpy as np
import pytest

from limner.core.images import Uint8Image
from limner.core.metrics.paired import PAIR_METRICS, PairMetric, mean_scores, score_pair


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[Uint8Image, Uint8Image]:
    """An image with some structure and a noisy copy, neither square nor grey."""
    rows, columns = np.mgrid[:24, :31]
    real = np.stack([128 + 100 * np.sin(rows / 3), 4.0 * rows + columns, 200 - 3 * columns + 0 * rows], axis=2)
    noisy = real + rng.normal(0, 30, real.shape)
    return noisy.clip(0, 255).astype(np.uint8), real.astype(np.uint8)


def ssim_by_formula(x: Uint8Image, y: Uint8Image) -> float:
    """Wang et al. 2004, equation 13, window by window."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        for row in range(x.shape[0] - 6):
            for column in range(x.shape[1] - 6):
                a, b = (z[row : row + 7, column : column + 7, channel].ravel().astype(float) for z in (x, y))
                (var_a, covariance), (_, var_b) = np.cov(a, b)
                above = (2 * a.mean() * b.mean() + c1) * (2 * covariance + c2)
                values.append(above / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (var_a + var_b + c2)))
    return float(np.mean(values))


def test_scores_are_those_of_the_formulas(pair: tuple[Uint8Image, Uint8Image]) -> None:
    generated, real = pair
    scores = score_pair(generated, real)
    apart = (generated.astype(float) - real) / 255
    assert scores["l1"] == pytest.approx(np.abs(apart).mean(), rel=1e-12)
    assert scores["psnr_db"] == pytest.approx(-10 * math.log10((apart**2).mean()), rel=1e-12)
    assert scores["ssim"] == pytest.approx(ssim_by_formula(generated, real), abs=1e-9)
    assert 0.1 < scores["ssim"] < 0.95  # neither extreme


def test_equal_images(pair: tuple[Uint8Image, Uint8Image]) -> None:
    assert score_pair(pair[1], pair[1]) == {"l1": 0.0, "psnr_db": math.inf, "ssim": 1.0}


@pytest.mark.parametrize("offset", [1, 51, 255])
def test_a_known_offset(offset: int) -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    scores = score_pair(black + np.uint8(offset), black)
    assert scores["l1"] == pytest.approx(offset / 255)
    assert scores["psnr_db"] == pytest.approx(20 * math.log10(255 / offset), abs=1e-9)


def test_either_image_may_come_first(pair: tuple[Uint8Image, Uint8Image]) -> None:
    generated, real = pair
    there, back = score_pair(generated, real), score_pair(real, generated)
    assert there == pytest.approx(back, rel=1e-12)


def test_a_grey_images_ssim_is_that_of_its_luma(pair: tuple[Uint8Image, Uint8Image]) -> None:
    grey, grey_real = (np.repeat(image[..., :1], 3, axis=2) for image in pair)
    assert score_pair(grey, grey_real)["ssim"] == pytest.approx(score_pair(grey[..., :1], grey_real[..., :1])["ssim"])


def test_values_of_another_range_score_alike(pair: tuple[Uint8Image, Uint8Image]) -> None:
    generated, real = pair
    pixels, scaled = score_pair(generated, real), score_pair(generated / 127.5, real / 127.5, data_range=2.0)
    assert scaled == pytest.approx(pixels, rel=1e-9)


def test_blur_costs_ssim_more_than_a_shade(pair: tuple[Uint8Image, Uint8Image]) -> None:
    """What SSIM is for: at a lower L1, an image without its detail scores worse than one that is a little darker."""
    detail = pair[0]
    shifts = [np.roll(detail, (down, along), axis=(0, 1)) for down in range(-2, 3) for along in range(-2, 3)]
    blurred = np.mean(shifts, axis=0)
    darker = detail - np.minimum(detail, 40)
    blurry, shaded = score_pair(blurred, detail), score_pair(darker, detail)
    assert blurry["l1"] < shaded["l1"]
    assert blurry["ssim"] < shaded["ssim"]


def test_means_are_over_images() -> None:
    rows = [{"l1": 0.1, "psnr_db": 10.0, "ssim": 0.5}, {"l1": 0.3, "psnr_db": 30.0, "ssim": 0.7}]
    assert mean_scores(iter(rows)) == pytest.approx({"l1": 0.2, "psnr_db": 20.0, "ssim": 0.6})


def test_a_row_of_the_table_is_all_that_a_metric_needs(pair: tuple[Uint8Image, Uint8Image]) -> None:
    largest = PairMetric("max", "largest", 1, "Largest difference: lower is better.", lambda a, b, _: abs(a - b).max())
    assert score_pair(*pair, metrics=(*PAIR_METRICS, largest))["max"] == np.abs(pair[0].astype(float) - pair[1]).max()


def test_every_definition_is_a_sentence_with_a_direction() -> None:
    for metric in PAIR_METRICS:
        assert re.fullmatch(r"[A-Z].*(lower|higher) is better\.", metric.definition)
