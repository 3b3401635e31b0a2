"""A small face is found and its square looks like the training portraits; portraits are left whole."""

import numpy as np
import pytest
from skimage.data import astronaut

from limner.core.images import Uint8Image
from limner.data_pipeline.faces import FACE_CENTRE, FACE_HEIGHT, find_faces, find_portraits
from limner.data_pipeline.images import Box, resize

FACE = Box(177, 66, 95, 95)
"""Of the astronaut, by OpenCV on the whole picture."""


@pytest.fixture(scope="module")
def photo() -> Uint8Image:
    found: Uint8Image = astronaut()
    return found


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    height = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    shared = max(0, width) * max(0, height)
    return shared / (a.width * a.height + b.width * b.height - shared)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_a_face_is_found_at_any_resolution(photo: Uint8Image, scale: float) -> None:
    side = round(512 * scale)
    (face, *_) = find_faces(resize(photo, side, side))
    assert overlap(face.scaled(1 / scale, 1 / scale), FACE) > 0.6


def test_its_square_has_the_face_where_training_portraits_have_it(photo: Uint8Image) -> None:
    (box,) = find_portraits(photo)
    face = find_faces(photo)[0]
    assert box.width == box.height == round(face.height / FACE_HEIGHT)
    assert box.left + box.width / 2 == pytest.approx(face.left + face.width / 2, abs=1.0)
    assert face.top + face.height / 2 - box.top == pytest.approx(FACE_CENTRE * box.height, abs=1.0)
    portrait = box.crop(photo)
    assert find_portraits(portrait) == [Box(0, 0, box.width, box.height)], "a portrait is left whole"


def test_the_square_lies_within_the_photo(photo: Uint8Image) -> None:
    for left, top in ((150, 40), (0, 60), (160, 0)):
        part = photo[top : top + 200, left : left + 300]
        for box in find_portraits(part):
            assert box.left >= 0 <= box.top
            assert box.left + box.width <= part.shape[1]
            assert box.top + box.height <= part.shape[0]


def test_two_people_are_found_where_every_one_is_wanted(photo: Uint8Image) -> None:
    smaller = np.full_like(photo, 255)
    smaller[:358, :358] = resize(photo, 358, 358)
    both = np.concatenate([smaller, photo], axis=1)
    boxes = find_portraits(both, every=True)
    assert [box.left // 512 for box in boxes] == [1, 0], "the largest first"
    assert find_portraits(both) == boxes[:1]


def test_without_a_face_there_is_no_portrait() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    assert find_portraits(noise) == []
    assert find_portraits(noise[:1, :1]) == []
