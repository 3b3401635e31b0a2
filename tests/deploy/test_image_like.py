"""An image in memory becomes what the same image in a file becomes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limner.core.batch import to_tensor
from limner.core.util.errors import UserError
from limner.data_pipeline.images import read_image, resize
from limner.deploy.image_like import to_rgb_array


def rgba(rng: np.random.Generator) -> Image.Image:
    """A smooth image of every transparency."""
    return Image.fromarray(resize(rng.integers(0, 256, (5, 5, 4), dtype=np.uint8), 40, 30))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "I;16"])
def test_pil_images_are_read_as_files_are(mode: str, rng: np.random.Generator, tmp_path: Path) -> None:
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (30, 40), dtype=np.uint16))
    else:
        image = rgba(rng).convert(mode)
    assert image.mode == mode
    image.save(tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as opened:
        assert np.abs(to_rgb_array(opened).astype(int) - read_image(tmp_path / "image.png")).max() <= 1
    assert np.abs(to_rgb_array(image).astype(int) - read_image(tmp_path / "image.png")).max() <= 1


def test_a_palette_with_a_transparent_colour_lies_on_white(rng: np.random.Generator, tmp_path: Path) -> None:
    image = rgba(rng).convert("RGB").quantize(8)
    image.save(tmp_path / "image.png", transparency=3)
    with Image.open(tmp_path / "image.png") as opened:
        array = to_rgb_array(opened)
    np.testing.assert_array_equal(array, read_image(tmp_path / "image.png"))
    assert (array == 255).all(axis=2).any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pil_images_are_turned_upright(orientation: int, rng: np.random.Generator, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgba(rng).convert("RGB").save(tmp_path / "image.png", exif=exif)
    with Image.open(tmp_path / "image.png") as opened:
        np.testing.assert_array_equal(to_rgb_array(opened), read_image(tmp_path / "image.png"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_tensors_follow_the_image_contract(dtype: torch.dtype, rng: np.random.Generator) -> None:
    array = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_rgb_array(to_tensor(array[None])[0].to(dtype).requires_grad_()), array)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8), np.uint8), r"got an array of \(8, 8\) uint8: give \(H, W, 3\) uint8, RGB"),
        (np.zeros((8, 8, 4), np.uint8), r"got an array of \(8, 8, 4\) uint8: give \(H, W, 3\)"),
        (np.zeros((0, 8, 3), np.uint8), r"got an array of \(0, 8, 3\) uint8"),
        (np.zeros((8, 8, 3)), r"got an array of \(8, 8, 3\) float64"),
        (torch.zeros(8, 8, 3), r"got a tensor of \(8, 8, 3\) torch.float32: give \(3, H, W\) float in \[-1, 1\]"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"got a tensor of \(3, 8, 8\) torch.uint8"),
        (torch.full((3, 8, 8), 255.0), r"got a tensor with values of 255 to 255: scale it to \[-1, 1\]"),
        (torch.full((3, 8, 8), float("nan")), "got a tensor with values of nan to nan"),
        (Image.new("F", (8, 8)), "got a PIL image of mode F: give one of 8 or 16 bits"),
        ("gone.jpg", r"gone\.jpg: unreadable \(No such file"),
        (b"bytes", r"got bytes: give a path, a PIL image, an \(H, W, 3\) uint8 array, .* or a list of these"),
        (None, "got NoneType: give a path"),
    ],
)
def test_anything_else_is_refused(image: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        to_rgb_array(image)
