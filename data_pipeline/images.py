"""Decode any image file to upright (H, W, 3) uint8 RGB or refuse it; fit images into squares and back."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from limner.core.config import Fit
from limner.core.images import Uint8Image
from limner.core.util.errors import UserError

MAX_PIXELS = 89_000_000
"""Larger images are refused as decompression bombs; just under the size at which Pillow warns of one."""
MAX_FILE_BYTES = 512 * 2**20
"""Larger files are refused instead of read into memory."""
EXIF_ORIENTATION = 0x0112
Pixels = npt.NDArray[Any]
"""Pixels as OpenCV decodes them: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA, of 8 or 16 bits."""
PAD_VALUE = 255
"""White: the colour of a sketch's paper and of the background of transparent pixels."""


class ImageError(UserError):
    """An image that cannot be used.

    reason: one of a few fixed phrases, so that errors can be counted by it.
    detail: what exactly is wrong; may be empty.
    file: None where the error belongs to a pair and not to one of its files.
    """

    def __init__(self, reason: str, detail: str = "", file: str | None = None) -> None:
        super().__init__((f"{file}: " if file else "") + reason + (f" ({detail})" if detail else ""))
        self.reason = reason
        self.detail = detail
        self.file = file


def read_file(path: Path, file: str) -> bytes:
    """Read a file's bytes.

    file: its name in errors.
    Raises ImageError for a file that is too large or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ImageError("too large", f"{size} bytes, allowed {MAX_FILE_BYTES}", file)
        return path.read_bytes()
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error), file) from error


def read_image(path: Path) -> Uint8Image:
    """Read an image file of any format as (H, W, 3) uint8 RGB; see `decode_image`."""
    return decode_image(read_file(path, str(path)), str(path))


def decode_image(data: bytes, file: str) -> Uint8Image:
    """Decode an image to (H, W, 3) uint8 RGB.

    The EXIF orientation is applied, transparency is blended onto white, grey and CMYK become RGB, 16 bits become 8.
    file: its name in errors.
    Raises ImageError: zero bytes, not an image, too large, truncated, damaged, unsupported.
    """
    image, orientation = _open_strictly(data, file)
    pixels: Pixels | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or (image.mode == "LA" and pixels.ndim == 2):
        # Formats that OpenCV cannot decode, and grey TIFFs whose transparency it drops.
        pixels = cv2.cvtColor(np.asarray(ImageOps.exif_transpose(image).convert("RGBA")), cv2.COLOR_RGBA2BGRA)
    elif image.format != "TIFF" and orientation in _UPRIGHT:  # of TIFFs alone OpenCV applies the orientation itself
        pixels = _UPRIGHT[orientation](pixels)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError("unsupported", f"{pixels.dtype} pixels, allowed 8 or 16 bits", file)
    return _to_rgb8(pixels)


def _open_strictly(data: bytes, file: str) -> tuple[Image.Image, int]:
    """Decode by Pillow, which is strict; return the image and its EXIF orientation.

    OpenCV gives no size before it decodes, and most versions fill the missing part of a truncated JPEG with grey.
    """
    if not data:
        raise ImageError("zero bytes", file=file)
    try:
        image = Image.open(io.BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("too large", f"allowed {MAX_PIXELS} pixels", file) from error
    except Exception as error:  # Pillow's parsers raise OSError, SyntaxError, struct.error and more
        raise ImageError("not an image", file=file) from error
    if image.width * image.height > MAX_PIXELS:
        raise ImageError("too large", f"{image.width}x{image.height}, allowed {MAX_PIXELS} pixels", file)
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        image.load()
    except Exception as error:  # as above
        reason = "truncated" if "truncated" in str(error) else "damaged"
        raise ImageError(reason, str(error), file) from error
    return image, orientation


_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
"""EXIF 2.3, tag 0x0112: orientation -> function that turns stored pixels upright; any other is upright."""


def _to_rgb8(pixels: Pixels) -> Uint8Image:
    """Convert OpenCV's pixels to (H, W, 3) uint8 RGB; 65535 becomes 255, transparency is blended onto white."""
    channels: Pixels = np.atleast_3d(pixels)
    has_alpha = channels.shape[2] == 4
    colours = channels[..., 2::-1] if channels.shape[2] >= 3 else np.repeat(channels, 3, axis=2)
    if channels.dtype == np.uint8 and not has_alpha:
        return np.ascontiguousarray(colours)
    max_value = np.float32(np.iinfo(channels.dtype).max)
    values = colours / max_value
    if has_alpha:
        alpha = channels[..., 3:] / max_value
        values = values * alpha + (1 - alpha)
    return np.rint(values * 255).astype(np.uint8)


def resize(image: Uint8Image, width: int, height: int) -> Uint8Image:
    """Resize (H, W, C) to (height, width, C): by area means if a side shrinks (no aliasing), bicubic if it grows."""
    smaller = (min(width, image.shape[1]), min(height, image.shape[0]))
    if smaller != (image.shape[1], image.shape[0]):
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if smaller != (width, height):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)  # type: ignore[assignment]
    return image


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: int
    top: int
    width: int
    height: int

    def crop(self, image: Uint8Image) -> Uint8Image:
        """Crop (H, W, 3) to (height, width, 3), without a copy."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]

    def scaled(self, x: float, y: float) -> "Box":
        """Return the same part of an image that is `x` times as wide and `y` times as high."""
        left, top = round(self.left * x), round(self.top * y)
        right, bottom = round((self.left + self.width) * x), round((self.top + self.height) * y)
        return Box(left, top, max(1, right - left), max(1, bottom - top))


@dataclass(frozen=True)
class FitTransform:
    """How an image is fitted into a square of `size` pixels: its part `source` fills the square's part `target`."""

    size: int
    source: Box
    target: Box

    def apply(self, image: Uint8Image) -> Uint8Image:
        """Fit (H, W, 3) into (size, size, 3); white outside `target`."""
        part = resize(self.source.crop(image), self.target.width, self.target.height)
        square = np.full((self.size, self.size, 3), PAD_VALUE, np.uint8)
        self.target.crop(square)[:] = part
        return square

    def inverse(self, square: Uint8Image) -> Uint8Image:
        """Bring (size, size, 3) back to the size of `source`, (H, W, 3); what `crop` cut off is lost."""
        return resize(self.target.crop(square), self.source.width, self.source.height)


def plan_fit(width: int, height: int, size: int, fit: Fit) -> FitTransform:
    """Choose the boxes that fit an image of width x height pixels into a square of `size` pixels.

    fit: `stretch` scales both sides to the square; `pad` keeps the aspect ratio and centres the image; `crop` takes
    the largest centred square.
    """
    whole = Box(0, 0, width, height)
    if fit == "stretch":
        return FitTransform(size, whole, Box(0, 0, size, size))
    if fit == "pad":
        scale = size / max(width, height)
        inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
        target = Box((size - inner_width) // 2, (size - inner_height) // 2, inner_width, inner_height)
        return FitTransform(size, whole, target)
    side = min(width, height)
    return FitTransform(size, Box((width - side) // 2, (height - side) // 2, side, side), Box(0, 0, size, size))


def fit_image(image: Uint8Image, size: int, fit: Fit) -> tuple[Uint8Image, FitTransform]:
    """Fit (H, W, 3) into (size, size, 3); return the square and the transform whose inverse brings it back."""
    transform = plan_fit(image.shape[1], image.shape[0], size, fit)
    return transform.apply(image), transform


def fit_pair(photo: Uint8Image, sketch: Uint8Image, size: int, fit: Fit) -> tuple[Uint8Image, Uint8Image]:
    """Fit a photo and, by the same boxes, its sketch, which may have another resolution; both (size, size, 3)."""
    square, transform = fit_image(photo, size, fit)
    source = transform.source.scaled(sketch.shape[1] / photo.shape[1], sketch.shape[0] / photo.shape[0])
    return square, FitTransform(size, source, transform.target).apply(sketch)
