"""The plain loader's own steps, each against a formula or another implementation; the rest is in test_loading.py."""

import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from limner.core.batch import to_images, to_tensor
from limner.core.config import AugmentConfig
from limner.core.images import Uint8Image
from limner.core.util.errors import UserError
from limner.data_pipeline.images import resize
from limner.data_pipeline.index import Record
from limner.data_pipeline.reference import augment, open_reference, read_dataset_image, read_pairs, resample
from limner.data_pipeline.stream import Augmentation, SampleStream

MakeStream = Callable[..., SampleStream]
Records = tuple[Record, ...]
Textured = Callable[[int, int], Records]
WARPING = AugmentConfig(load_size=48, rotate_degrees=180.0, colour=0.5)


@pytest.fixture
def image() -> Uint8Image:
    """(48, 48, 3), smooth."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC), np.uint8)


def change(**fields: float) -> Augmentation:
    """No change to an image of 48 pixels, but for the given fields."""
    values = {"x": 0, "y": 0, "mirror": False, "angle": 0.0, "shift_x": 0.0, "shift_y": 0.0, "scale": 1.0}
    colours = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0}
    return Augmentation(load_size=48, **(values | colours | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_images_are_read_as_rgb(tmp_path: Path, suffix: str) -> None:
    image = np.full((8, 8, 3), (250, 130, 10), np.uint8)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), image[:, :, ::-1])
    assert np.abs(read_dataset_image(tmp_path, f"a{suffix}").astype(int) - image).max() <= 2


def test_an_image_of_the_right_size_is_left_alone(image: Uint8Image) -> None:
    assert resample(image, 48) is image


@pytest.mark.parametrize("size", [20, 24, 43, 50, 96])
def test_resampling_agrees_with_torch(image: Uint8Image, size: int) -> None:
    """At the edges torch leaves out what lies outside, DALI and we repeat the edge: compared are the inner pixels."""
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = F.interpolate(tensor, (size, size), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    assert np.abs(resample(image, size) - expected)[3:-3, 3:-3].max() <= 0.51


@pytest.mark.parametrize("size", [7, 48, 99])
def test_resampling_keeps_a_plain_area(size: int) -> None:
    assert set(resample(np.full((48, 48, 3), 201, np.uint8), size).flat) == {201}


def test_crop_and_mirror(make_stream: MakeStream, image: Uint8Image) -> None:
    stream = make_stream((Record("0", "0", "0"),), image_size=16, augment=AugmentConfig(load_size=48))
    cropped = augment(image, change(x=5, y=20), stream, is_photo=False)
    np.testing.assert_array_equal(cropped, image[20:36, 5:21])
    np.testing.assert_array_equal(
        augment(image, change(x=5, y=20, mirror=True), stream, is_photo=False), cropped[:, ::-1]
    )


def test_warps_are_about_the_centre_of_the_image(make_stream: MakeStream, image: Uint8Image) -> None:
    stream = make_stream((Record("0", "0", "0"),), image_size=48, augment=WARPING)

    def warped(**fields: float) -> Uint8Image:
        return augment(image, change(**fields), stream, is_photo=False)

    np.testing.assert_array_equal(warped(), image)
    np.testing.assert_array_equal(warped(angle=90.0), np.rot90(image, -1))
    np.testing.assert_array_equal(warped(shift_x=3.0, shift_y=-2.0)[:-2, 3:], image[2:, :-3])
    np.testing.assert_array_equal(
        warped(shift_x=3.0)[:, :3], np.repeat(image[:, :1], 3, axis=1)
    )  # the edge is repeated
    halved = warped(scale=0.5)[12:36, 12:36]
    assert np.abs(halved - image.reshape(24, 2, 24, 2, 3).mean((1, 3))).max() <= 1


def test_colour_is_the_photos_alone(make_stream: MakeStream, image: Uint8Image) -> None:
    stream = make_stream((Record("0", "0", "0"),), image_size=48, augment=WARPING)
    dark = change(brightness=0.5, saturation=0.0)
    np.testing.assert_array_equal(augment(image, dark, stream, is_photo=False), image)
    expected = np.repeat(image @ [[0.299], [0.587], [0.114]] / 2, 3, axis=2)
    assert np.abs(augment(image, dark, stream, is_photo=True) - expected).max() <= 1


def test_a_closed_loader_leaves_no_threads(make_stream: MakeStream, tagged: Records) -> None:
    before = threading.active_count()
    loader = open_reference(make_stream(tagged, threads=3))
    next(loader)
    assert threading.active_count() > before
    loader.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_pairs_for_evaluation_come_once_and_in_order(tmp_path: Path, textured: Textured) -> None:
    records = textured(7, 24)
    batches = list(read_pairs(tmp_path, records, size=24, batch_size=3))
    assert [batch.position.tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [style for batch in batches for style in batch.style.tolist()] == [record.style for record in records]
    for batch in batches:
        assert batch.sketch is not None
        for photo, sketch, position in zip(batch.photo, batch.sketch, batch.position.tolist(), strict=True):
            for image, name in zip((photo, sketch), records[position].files, strict=True):
                np.testing.assert_array_equal(to_images(image[None])[0], read_dataset_image(tmp_path, name))


@pytest.mark.parametrize("size", [16, 32])
def test_pairs_for_evaluation_are_resized_as_inputs_of_a_model_are(
    tmp_path: Path, textured: Textured, size: int
) -> None:
    records = textured(1, 24)
    (batch,) = read_pairs(tmp_path, records, size=size, batch_size=4)
    expected = to_tensor(resize(read_dataset_image(tmp_path, records[0].photo), size, size)[None])
    assert torch.equal(batch.photo, expected)


def test_unpaired_images_can_be_read_too(tmp_path: Path, textured: Textured) -> None:
    records = [Record(record.id, record.photo, None, record.style) for record in textured(2, 24)]
    (batch,) = read_pairs(tmp_path, records, size=24, batch_size=4)
    assert batch.sketch is None
    assert len(batch) == 2


def test_pairs_for_evaluation_name_an_unusable_image(tmp_path: Path, textured: Textured) -> None:
    records = textured(3, 24)
    path = tmp_path / str(records[1].sketch)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"1\.jpg is truncated: delete .* and run limner prepare again"):
        list(islice(read_pairs(tmp_path, records, size=24, batch_size=1), 3))
