"""Decode any image correctly or refuse it; fit images into squares and back."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from limner.core.config import Fit
from limner.core.images import Uint8Image
from limner.data_pipeline.images import (
    ImageError,
    decode_image,
    fit_image,
    fit_pair,
    plan_fit,
    read_image,
    resize,
)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(height: int = 12, width: int = 20) -> Uint8Image:
    """Every pixel another colour, so that turning and mirroring show."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([y * 255 // height, x * 255 // width, (x + y) * 255 // (height + width)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    """Pillow's own transposition is the oracle."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(gradient(16, 24)), "JPEG", exif=exif, quality=100, subsampling=0)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    found = decode_image(data, "x.jpg")
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_transparency_is_blended_onto_white() -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (200, 100, 0, 255)
    rgba[2, :] = (200, 100, 0, 51)
    found = decode_image(encoded(Image.fromarray(rgba), "PNG"), "x.png")
    assert found[0, 0].tolist() == [200, 100, 0]
    assert found[2, 0].tolist() == [244, 224, 204]
    assert found[3, 0].tolist() == [255, 255, 255]


def test_grey_16_bit_palette_and_cmyk_become_rgb() -> None:
    grey = np.linspace(0, 255, 64, dtype=np.uint8).reshape(8, 8)
    for data in (
        encoded(Image.fromarray(grey), "PNG"),
        cv2.imencode(".png", grey.astype(np.uint16) * 257)[1].tobytes(),
        encoded(Image.fromarray(grey).convert("P"), "PNG"),
        encoded(Image.fromarray(grey).convert("LA"), "PNG"),
    ):
        np.testing.assert_array_equal(decode_image(data, "x"), np.stack([grey] * 3, axis=2))
    red = Image.new("RGB", (16, 16), (220, 30, 40))
    found = decode_image(encoded(red.convert("CMYK"), "JPEG", quality=100), "x.jpg")
    assert np.abs(found.astype(int) - (220, 30, 40)).max() <= 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated_files_are_refused_wherever_they_end(kind: str, rng: np.random.Generator) -> None:
    data = encoded(Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)), kind)
    for share in (0.3, 0.6, 0.95):
        with pytest.raises(ImageError, match=r"truncated|damaged|not an image") as caught:
            decode_image(data[: int(len(data) * share)], "x")
        assert caught.value.file == "x"


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is so large and has one small chunk of zeros: an image bomb."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "zero bytes"), (b"hello", "not an image"), (png_header(60_000, 60_000), "too large")]
)
def test_what_is_no_image_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(data, "a/x.png")
    assert caught.value.reason == reason
    assert str(caught.value).startswith("a/x.png: ")


def test_names_with_spaces_and_accents_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ein Porträt, 肖像.png"
    path.write_bytes(encoded(Image.fromarray(gradient()), "PNG"))
    np.testing.assert_array_equal(read_image(path), gradient())
    with pytest.raises(ImageError, match="unreadable"):
        read_image(tmp_path / "gone.png")


def test_shrinking_averages_instead_of_sampling() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, 16, 16).astype(int) - 127).max() <= 1


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("shape", [(50, 80), (80, 50), (64, 64), (1, 100)])
def test_the_inverse_of_a_fit_has_the_size_of_the_image(fit: Fit, shape: tuple[int, int]) -> None:
    image = resize(gradient(), shape[1], shape[0])
    square, transform = fit_image(image, 64, fit)
    assert square.shape == (64, 64, 3)
    back = transform.inverse(square)
    assert back.shape == transform.source.crop(image).shape
    assert np.abs(back.astype(int) - transform.source.crop(image)).mean() < 6
    if fit == "pad":
        outside = np.ones((64, 64), bool)
        box = transform.target
        outside[box.top : box.top + box.height, box.left : box.left + box.width] = False
        assert (square[outside] == 255).all()


def test_boxes_lie_in_the_middle() -> None:
    assert plan_fit(100, 60, 64, "crop").source.left == 20
    assert plan_fit(100, 50, 64, "pad").target.top == 16


def test_a_sketch_of_another_resolution_is_fitted_by_the_photos_boxes() -> None:
    photo = resize(gradient(), 200, 120)
    sketch = resize(photo, 100, 60)
    for fit in ("stretch", "pad", "crop"):
        square, sketch_square = fit_pair(photo, sketch, 64, fit)
        assert np.abs(square.astype(int) - sketch_square).mean() < 4
