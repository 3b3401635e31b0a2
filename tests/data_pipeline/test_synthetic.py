"""Synthetic portraits: equal for equal seed and index, else different, with sketches that match their photos."""

import hashlib
import subprocess
import sys
from collections import Counter

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from limner.core.images import Uint8Image
from limner.data_pipeline.images import resize
from limner.data_pipeline.synthetic import render_pair, sample_portrait
from limner.data_pipeline.synthetic.brush import blend
from limner.data_pipeline.synthetic.curves import disc, ribbon, smooth

COUNT, SIZE = 12, 96


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Uint8Image, Uint8Image]]:
    return [render_pair(0, index, SIZE) for index in range(COUNT)]


def grey(image: Uint8Image) -> npt.NDArray[np.float64]:
    return np.asarray(image.mean(axis=2, dtype=np.float64))


def test_equal_numbers_give_equal_bytes_in_any_order_and_process(pairs: list[tuple[Uint8Image, Uint8Image]]) -> None:
    for index in (7, 3):
        for ours, again in zip(pairs[index], render_pair(0, index, SIZE), strict=True):
            np.testing.assert_array_equal(ours, again)
    code = (
        "import hashlib; from limner.data_pipeline.synthetic import render_pair; "
        f"print(hashlib.sha256(b''.join(image.tobytes() for image in render_pair(0, 5, {SIZE}))).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(b"".join(image.tobytes() for image in pairs[5])).hexdigest()


def test_other_numbers_give_other_people(pairs: list[tuple[Uint8Image, Uint8Image]]) -> None:
    for kind, least in ((0, 12.0), (1, 6.0)):
        images = np.stack([grey(pair[kind]) for pair in pairs])
        for first in range(COUNT):
            for second in range(first):
                assert np.abs(images[first] - images[second]).mean() > least
    assert np.abs(grey(render_pair(1, 0, SIZE)[0]) - grey(pairs[0][0])).mean() > 12.0


@pytest.mark.parametrize("size", [64, 143, 286])
def test_a_portrait_is_the_same_at_every_size(size: int) -> None:
    for large, small in zip(render_pair(0, 1, 2 * size), render_pair(0, 1, size), strict=True):
        assert small.shape == (size, size, 3)
        assert small.dtype == np.uint8
        assert np.abs(grey(resize(large, size, size)) - grey(small)).mean() < 3.0


def test_sketches_are_nearly_grey_strokes_on_white_paper(pairs: list[tuple[Uint8Image, Uint8Image]]) -> None:
    for _, sketch in pairs:
        assert np.ptp(sketch.astype(int), axis=2).max() <= 8
        assert np.percentile(grey(sketch), 80) > 230
        assert grey(sketch).min() < 130


def edges(image: Uint8Image) -> npt.NDArray[np.float64]:
    """Strength of brightness steps, blurred so that a line may lie next to the step it traces."""
    blurred = cv2.GaussianBlur(grey(image), (0, 0), 1.5)
    dy, dx = np.gradient(blurred)
    return np.asarray(cv2.GaussianBlur(np.hypot(dx, dy), (0, 0), 2.0))


def test_a_sketch_fits_its_own_photo_better_than_any_other(pairs: list[tuple[Uint8Image, Uint8Image]]) -> None:
    photos, sketches = ([edges(pair[kind]).ravel() for pair in pairs] for kind in (0, 1))
    fit = np.corrcoef(photos, sketches)[:COUNT, COUNT:]
    assert (fit.argmax(axis=1) == np.arange(COUNT)).all()
    assert np.diag(fit).min() > 0.5


def test_everything_occurs_within_a_hundred_portraits() -> None:
    people = [sample_portrait(0, index) for index in range(100)]
    assert set(Counter(person.style for person in people)) == {0, 1, 2}
    assert len({person.hair for person in people}) >= 6
    assert len({person.beard for person in people}) >= 4
    assert len({person.glasses for person in people}) >= 2
    assert len({person.collar for person in people}) >= 4
    assert min(person.light for person in people) < -0.5 < 0.5 < max(person.light for person in people)


def test_the_light_comes_from_its_side() -> None:
    """Mirrored halves of the face differ in brightness as `light` says, over many people."""
    agreeing = 0
    for index in range(20):
        person = sample_portrait(0, index)
        photo = grey(render_pair(0, index, 64)[0])
        x, y = (round(64 * place) for place in person.centre)
        reach = round(64 * 0.8 * person.head_width)
        face = photo[y : y + reach, x - reach : x + reach + 1]
        agreeing += np.sign(face[:, reach + 1 :].mean() - face[:, :reach].mean()) == np.sign(person.light)
    assert agreeing >= 17


def test_the_pencils_differ_in_darkness() -> None:
    darkness: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for index in range(30):
        darkness[sample_portrait(0, index).style].append(255.0 - float(grey(render_pair(0, index, 64)[1]).mean()))
    means = [float(np.mean(darkness[style])) for style in range(3)]
    assert means[0] < means[1] < means[2]


def test_a_batch_is_traced_as_its_curves_are_one_by_one() -> None:
    batch = np.random.default_rng(0).uniform(size=(3, 5, 2))
    np.testing.assert_allclose(smooth(batch), [smooth(curve) for curve in batch])
    np.testing.assert_allclose(smooth(batch, closed=True), [smooth(curve, closed=True) for curve in batch])
    np.testing.assert_allclose(ribbon(batch, 0.1), [ribbon(curve, 0.1) for curve in batch])


@pytest.mark.parametrize("blur", [0.0, 0.01, 0.05])
def test_a_blend_stays_within_its_bounds(blur: float) -> None:
    canvas = np.full((100, 100), 200, dtype=np.uint8)
    blend(canvas, disc(np.array([[0.5, 0.5]]), 0.3, 0.3), 0, 1.0, blur, within=disc(np.array([[0.3, 0.5]]), 0.2, 0.2))
    y, x = (np.mgrid[:100, :100] + 0.5) / 100
    beyond = np.hypot(x - 0.3, y - 0.5) > 0.22
    assert (canvas[beyond] == 200).all()
    assert canvas[50, 40] < 10
