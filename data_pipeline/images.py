"""One picture file -> (H, W, 3) uint8 RGB, upright, whole; and its way into a square and back."""

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
"""Larger pictures are taken for decompression bombs; just under the count at which Pillow warns of one."""
MAX_FILE_BYTES = 512 * 2**20
"""Larger files are not read into memory."""
EXIF_ORIENTATION = 0x0112
Pixels = npt.NDArray[Any]
"""As OpenCV decodes them: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA, of 8 or 16 bits."""
PAD_VALUE = 255
"""White, the colour of a sketch's paper and of what stands behind transparent pixels."""


class PictureError(UserError):
    """A picture that cannot be used. `reason` is one of few words, the same for all such files; `detail` may be empty.

    `file` is empty where the error belongs to a pair and not to one of its files.
    """

    def __init__(self, reason: str, detail: str = "", file: str = "") -> None:
        super().__init__((f"{file}: " if file else "") + reason + (f" ({detail})" if detail else ""))
        self.reason = reason
        self.detail = detail
        self.file = file


def read_file(path: Path, file: str) -> bytes:
    """The bytes of a file, called `file` in errors: PictureError where it is too large or cannot be read."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise PictureError("too large", f"{size} bytes, allowed {MAX_FILE_BYTES}", file)
        return path.read_bytes()
    except OSError as error:
        raise PictureError("unreadable", error.strerror or str(error), file) from error


def read_picture(path: Path) -> Uint8Image:
    """The picture in a file as (H, W, 3) uint8 RGB; see `decode_picture`."""
    return decode_picture(read_file(path, str(path)), str(path))


def decode_picture(data: bytes, file: str) -> Uint8Image:
    """An encoded picture -> (H, W, 3) uint8 RGB.

    It is turned upright by its EXIF tag; transparency is laid on white, grey and CMYK become RGB, 16 bits 8.
    Raises PictureError with `file` in it: zero bytes, not an image, too large, truncated, damaged, unsupported.
    """
    image, orientation = _open_strictly(data, file)
    pixels: Pixels | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or (image.mode == "LA" and pixels.ndim == 2):
        # What OpenCV cannot decode, and grey TIFFs whose transparency it drops.
        pixels = cv2.cvtColor(np.asarray(ImageOps.exif_transpose(image).convert("RGBA")), cv2.COLOR_RGBA2BGRA)
    elif image.format != "TIFF" and orientation in _UPRIGHT:  # OpenCV leaves the tag to us, except in TIFF
        pixels = _UPRIGHT[orientation](pixels)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise PictureError("unsupported", f"{pixels.dtype} pixels, allowed 8 or 16 bits", file)
    return _to_rgb8(pixels)


def _open_strictly(data: bytes, file: str) -> tuple[Image.Image, int]:
    """The fully decoded Pillow image and its EXIF orientation.

    OpenCV tells neither the size before it decodes nor, in most versions, that a JPEG ends too early: the missing
    part comes back grey. Pillow does both.
    """
    if not data:
        raise PictureError("zero bytes", file=file)
    try:
        image = Image.open(io.BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError("too large", f"allowed {MAX_PIXELS} pixels", file) from error
    except Exception as error:  # Pillow's parsers raise OSError, SyntaxError, struct.error and more
        raise PictureError("not an image", file=file) from error
    if image.width * image.height > MAX_PIXELS:
        raise PictureError("too large", f"{image.width}x{image.height}, allowed {MAX_PIXELS} pixels", file)
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        image.load()
    except Exception as error:  # as above
        reason = "truncated" if "truncated" in str(error) else "damaged"
        raise PictureError(reason, str(error), file) from error
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
"""EXIF 2.3, tag 0x0112: what turns the stored pixels upright. 1 (and anything unknown) is upright already."""


def _to_rgb8(pixels: Pixels) -> Uint8Image:
    """OpenCV's pixels -> (H, W, 3) uint8 RGB; 65535 becomes 255, and transparency is laid on white."""
    channels: Pixels = np.atleast_3d(pixels)
    has_alpha = channels.shape[2] == 4
    colours = channels[..., 2::-1] if channels.shape[2] >= 3 else np.repeat(channels, 3, axis=2)
    if channels.dtype == np.uint8 and not has_alpha:
        return np.ascontiguousarray(colours)
    top = np.float32(np.iinfo(channels.dtype).max)
    values = colours / top
    if has_alpha:
        alpha = channels[..., 3:] / top
        values = values * alpha + (1 - alpha)
    return np.rint(values * 255).astype(np.uint8)


def resize(image: Uint8Image, width: int, height: int) -> Uint8Image:
    """Resize to (height, width, C): area means where a side shrinks (no aliasing), bicubic where it grows."""
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

    def cut(self, image: Uint8Image) -> Uint8Image:
        """This part of an image, not copied."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]

    def scaled(self, x: float, y: float) -> "Box":
        """The same part of a picture that is `x` times as wide and `y` times as high."""
        left, top = round(self.left * x), round(self.top * y)
        right, bottom = round((self.left + self.width) * x), round((self.top + self.height) * y)
        return Box(left, top, max(1, right - left), max(1, bottom - top))


@dataclass(frozen=True)
class Fitting:
    """How a picture went into a square of `size` pixels: its part `source` fills the square's part `target`."""

    size: int
    source: Box
    target: Box

    def apply(self, image: Uint8Image) -> Uint8Image:
        """(H, W, 3) -> (size, size, 3), white where the picture does not reach."""
        part = resize(self.source.cut(image), self.target.width, self.target.height)
        square = np.full((self.size, self.size, 3), PAD_VALUE, np.uint8)
        self.target.cut(square)[:] = part
        return square

    def undo(self, square: Uint8Image) -> Uint8Image:
        """(size, size, 3) -> the picture's part `source` in its own size; after `crop` the rest is not there."""
        return resize(self.target.cut(square), self.source.width, self.source.height)


def plan_fit(width: int, height: int, size: int, fit: Fit) -> Fitting:
    """How a picture of width x height goes into a square.

    stretch: all of it, both sides scaled apart; pad: all of it, in the middle, with its aspect; crop: its largest
    middle square.
    """
    whole = Box(0, 0, width, height)
    if fit == "stretch":
        return Fitting(size, whole, Box(0, 0, size, size))
    if fit == "pad":
        scale = size / max(width, height)
        inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
        target = Box((size - inner_width) // 2, (size - inner_height) // 2, inner_width, inner_height)
        return Fitting(size, whole, target)
    side = min(width, height)
    return Fitting(size, Box((width - side) // 2, (height - side) // 2, side, side), Box(0, 0, size, size))


def fit_picture(image: Uint8Image, size: int, fit: Fit) -> tuple[Uint8Image, Fitting]:
    """(H, W, 3) -> (size, size, 3), and the Fitting that undoes it."""
    fitting = plan_fit(image.shape[1], image.shape[0], size, fit)
    return fitting.apply(image), fitting


def fit_pair(photo: Uint8Image, sketch: Uint8Image, size: int, fit: Fit) -> tuple[Uint8Image, Uint8Image]:
    """Fit a photo and, by the photo's boxes, its sketch, so that they lie on each other. Both (size, size, 3)."""
    square, fitting = fit_picture(photo, size, fit)
    source = fitting.source.scaled(sketch.shape[1] / photo.shape[1], sketch.shape[0] / photo.shape[0])
    return square, Fitting(size, source, fitting.target).apply(sketch)
