from pathlib import Path

import numpy as np
import pytest
import torch

from limner.core.signature import Port, Signature
from limner.core.util.errors import UserError
from limner.deploy.inputs import CALIBRATION_IMAGES, calibration_inputs, parity_inputs, random_inputs, to_engine_inputs

PHOTO = Signature((Port("photo", (3, 64, 64), "float32"),), Port("image", (3, 64, 64), "float32"))
STYLED = Signature((*PHOTO.inputs, Port("style", (), "int64")), PHOTO.output, styles=3)
LATENT = Signature((Port("latent", (8,), "float32"),), Port("image", (3, 64, 64), "float32"))


def test_parity_takes_validation_images_over_again_where_there_are_few(tiny_data: Path) -> None:
    photos = parity_inputs(PHOTO, 5, tiny_data)["photo"]
    assert photos.shape == (5, 3, 64, 64)
    assert photos.dtype == np.float32
    np.testing.assert_array_equal(photos[0], photos[2])  # two images to validate
    assert not np.array_equal(photos[0], photos[1])


def test_a_generator_of_one_channel_gets_grey_photos(tiny_data: Path) -> None:
    grey = Signature((Port("photo", (1, 64, 64), "float32"),), Port("image", (1, 64, 64), "float32"))
    photos, colour = (parity_inputs(signature, 2, tiny_data)["photo"] for signature in (grey, PHOTO))
    assert photos.shape == (2, 1, 64, 64)
    assert photos.dtype == np.float32
    expected = 0.299 * colour[:, 0] + 0.587 * colour[:, 1] + 0.114 * colour[:, 2]
    np.testing.assert_allclose(photos[:, 0], expected, atol=1e-6)


def test_styles_come_with_the_images(tiny_data: Path) -> None:
    assert parity_inputs(STYLED, 2, tiny_data)["style"].shape == (2,)


def test_photos_without_a_dataset_and_latents_are_random(tiny_data: Path) -> None:
    assert parity_inputs(PHOTO, 2, None)["photo"].shape == (2, 3, 64, 64)
    np.testing.assert_array_equal(
        parity_inputs(LATENT, 2, None)["latent"], parity_inputs(LATENT, 2, tiny_data)["latent"]
    )


def test_calibration_takes_training_images_one_at_a_time(tiny_data: Path) -> None:
    batches = calibration_inputs(PHOTO, tiny_data)
    assert len(batches) == CALIBRATION_IMAGES
    assert {batch["photo"].shape for batch in batches} == {(1, 3, 64, 64)}
    assert len(calibration_inputs(LATENT, None)) == CALIBRATION_IMAGES


def test_calibration_without_photos_says_what_to_give() -> None:
    with pytest.raises(UserError, match="int8 needs photos to find its ranges: give --data DATASET"):
        calibration_inputs(PHOTO, None)


def test_engines_of_uint8_images_take_uint8(tiny_data: Path) -> None:
    inputs = parity_inputs(PHOTO, 2, tiny_data)
    assert to_engine_inputs(PHOTO, inputs) is inputs
    assert to_engine_inputs(PHOTO.as_uint8(), inputs)["photo"].shape == (2, 64, 64, 3)
    assert to_engine_inputs(PHOTO.as_uint8(), inputs)["photo"].dtype == np.uint8


def test_random_inputs_fit_their_ports_and_follow_the_seed() -> None:
    inputs = random_inputs(STYLED, 5, seed=1)
    assert inputs["photo"].shape == (5, 3, 64, 64)
    assert inputs["photo"].min() >= -1.0
    assert inputs["photo"].max() <= 1.0
    assert inputs["photo"].std() > 0.1
    assert inputs["style"].dtype == torch.int64
    assert 0 <= inputs["style"].min() <= inputs["style"].max() < 3
    assert torch.equal(inputs["photo"], random_inputs(STYLED, 5, seed=1)["photo"])
    assert not torch.equal(inputs["photo"], random_inputs(STYLED, 5, seed=2)["photo"])
