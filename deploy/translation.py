"""Photos of any size through a generator that takes squares, and back to their own size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Literal, TypeVar, get_args, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from limner.core.config import Fit, require
from limner.core.images import LUMA, Uint8Image
from limner.core.util.errors import UserError
from limner.data_pipeline.faces import find_portraits
from limner.data_pipeline.images import Box, fit_image, resize
from limner.deploy.image_like import ImageLike, to_rgb_array
from limner.deploy.model import Model

Mode = Literal["model", "stretch", "pad", "crop", "tile"]
"""How a photo becomes squares; "model": as the model's training images were fitted."""
Face = Literal["auto", "off"]
Generate = Callable[[Iterable[Uint8Image]], Iterable[Uint8Image]]
"""(S, S, 3) uint8 photos -> the generator's output for each, in order, the same shape."""
T = TypeVar("T", bound="ImageLike")

FEATHER = 0.15
"""Part of a pasted drawing's side over which it fades into the paper."""
OVERLAP = 0.25
"""Least overlap of neighbouring tiles as a fraction of their side."""


class Translator(Model):
    """Turns photos into the images that a generator makes of them, such as sketches; `limner.load` opens one."""

    @overload
    def __call__(
        self,
        image: T,
        *,
        style: str | int | None = None,
        mode: Mode = "model",
        face: Face = "off",
        paste: bool = False,
        batch_size: int = 8,
    ) -> Image.Image: ...

    @overload
    def __call__(
        self,
        image: list[T] | tuple[T, ...],
        *,
        style: str | int | None = None,
        mode: Mode = "model",
        face: Face = "off",
        paste: bool = False,
        batch_size: int = 8,
    ) -> list[Image.Image]: ...

    def __call__(
        self,
        image: T | list[T] | tuple[T, ...],
        *,
        style: str | int | None = None,
        mode: Mode = "model",
        face: Face = "off",
        paste: bool = False,
        batch_size: int = 8,
    ) -> Image.Image | list[Image.Image]:
        """Translate an image, or each of a list, into a PIL image of its own size.

        image: a path, a PIL image, an (H, W, 3) uint8 array or a (3, H, W) float tensor in [-1, 1].
        style: name or number, of a generator that has styles. mode, paste: see `translate`.
        face: "auto" draws the portrait around the largest face, or all with `paste`, where the image is no portrait.
        batch_size: images, or tiles, at a time. Raises UserError for wrong input.
        """
        if not isinstance(image, list | tuple):
            return self([image], style=style, mode=mode, face=face, paste=paste, batch_size=batch_size)[0]
        check_faces(face, paste, mode)
        results: list[Image.Image] = []
        for first in range(0, len(image), max(1, batch_size)):
            photos = [to_rgb_array(one) for one in image[first : first + batch_size]]
            parts = [find_portraits(photo, every=paste) for photo in photos] if face == "auto" else None
            results += map(Image.fromarray, self.translate(photos, style, mode, batch_size, parts, paste))
        return results

    def translate(
        self,
        photos: Sequence[Uint8Image],
        style: str | int | None = None,
        mode: Mode = "model",
        batch_size: int = 8,
        parts: Sequence[Sequence[Box]] | None = None,
        paste: bool = False,
    ) -> list[Uint8Image]:
        """Translate photos, (H, W, 3) uint8 each, into images of the same sizes.

        mode: "model" fits a photo into the generator's square as in training; "stretch" and "pad" fit all of it; "crop"
            its middle square, and the result has that square's size; "tile" works at full resolution, piece by piece.
        parts: of each photo, that are translated in place of the whole; none: the whole. paste: put them all on white
            paper of the photo's size; else the result is the first part, of its own size.
        """
        if parts is not None:
            return self._translate_parts(
                photos, parts, paste, lambda pieces: self.translate(pieces, style, mode, batch_size)
            )
        if mode not in get_args(Mode):
            raise UserError(f"mode {mode!r}: must be one of {', '.join(get_args(Mode))}")
        number = self.find_style(style)
        fit = self.source.fit if mode == "model" else mode

        def generate(squares: Iterable[Uint8Image]) -> Iterator[Uint8Image]:
            return self.generate(squares, batch_size, None if number is None else repeat(number))

        if fit == "tile":
            return [translate_tiled(photo, generate, self.image_size) for photo in photos]
        return translate_fitted(photos, generate, self.image_size, fit)

    def _translate_parts(
        self,
        photos: Sequence[Uint8Image],
        parts: Sequence[Sequence[Box]],
        paste: bool,
        translate: Callable[[list[Uint8Image]], list[Uint8Image]],
    ) -> list[Uint8Image]:
        chosen = [
            (photo, (boxes or [Box(0, 0, photo.shape[1], photo.shape[0])])[: None if paste else 1])
            for photo, boxes in zip(photos, parts, strict=True)
        ]
        drawn = iter(translate([box.crop(photo) for photo, boxes in chosen for box in boxes]))
        results = []
        for photo, boxes in chosen:
            drawings = list(islice(drawn, len(boxes)))
            whole = boxes[0].height == photo.shape[0] and boxes[0].width == photo.shape[1]
            results.append(paste_on_paper(photo.shape[:2], boxes, drawings) if paste and not whole else drawings[0])
        return results

    def find_style(self, style: str | int | None) -> int | None:
        """Resolve the name or number of a style, or the default style; None for a generator without styles."""
        if style is None:
            style = self.source.default_style or None
        if style is None and self.styles:
            raise UserError(f"no style given: choose one of {self._allowed_styles()}")
        return None if style is None else self.style_number(style)

    def generate(
        self, squares: Iterable[Uint8Image], batch_size: int, styles: Iterable[int] | None = None
    ) -> Iterator[Uint8Image]:
        """Generate an image (S, S, 3) uint8 of each photo (S, S, 3) uint8; S is `image_size`."""
        (photo, *_) = self.engine.signature.inputs
        channels = photo.shape[2 if photo.dtype == "uint8" else 0]
        return self.infer(map(_to_grey, squares) if channels == 1 else squares, batch_size, styles)


def translate_fitted(photos: Sequence[Uint8Image], generate: Generate, size: int, fit: Fit) -> list[Uint8Image]:
    """Translate photos, (H, W, 3) uint8 each, as squares of `size`, and resize the results to the photos' sizes.

    fit: "crop" translates a photo's middle square only, and the result has that square's size.
    """
    fitted = [fit_image(photo, size, fit) for photo in photos]
    outputs = generate(square for square, _ in fitted)
    return [transform.inverse(output) for output, (_, transform) in zip(outputs, fitted, strict=True)]


def check_faces(face: str, paste: bool, mode: str) -> None:
    """Raise UserError unless faces can be drawn and pasted so."""
    require(face in get_args(Face), f"face {face!r}: must be one of {', '.join(get_args(Face))}")
    require(face == "auto" or not paste, "paste: needs faces, leave out --face off, or in Python give face='auto'")
    require(mode != "crop" or not paste, "paste: draws whole portraits, leave out --mode crop")


def paste_on_paper(shape: tuple[int, int], boxes: Sequence[Box], drawings: Sequence[Uint8Image]) -> Uint8Image:
    """Put drawings, as large as their boxes, on white paper (H, W, 3) of `shape`; the darker wins where they meet.

    Their edges fade, but for those that are edges of the paper.
    """
    height, width = shape
    paper = np.full((height, width, 3), 255, np.uint8)
    for box, drawing in zip(boxes, drawings, strict=True):
        rows = _fade(box.height, box.top > 0, box.top + box.height < height)
        columns = _fade(box.width, box.left > 0, box.left + box.width < width)
        faded = 255.0 - np.outer(rows, columns)[..., None] * (255.0 - drawing)
        place = box.crop(paper)
        np.minimum(place, np.rint(faded).astype(np.uint8), out=place)
    return paper


def _fade(length: int, start: bool, end: bool) -> npt.NDArray[np.float64]:
    """Weights (length,) that rise from 0 at the start and fall to 0 at the end, where asked, and are 1 elsewhere."""
    distance = (np.arange(length) + 0.5) / (FEATHER * length)
    weights = np.ones(length)
    for edge, ramp in ((start, distance), (end, distance[::-1])):
        if edge:
            weights = weights * np.sin(np.pi / 2 * ramp.clip(max=1.0)) ** 2
    return weights


def translate_tiled(photo: Uint8Image, generate: Generate, size: int) -> Uint8Image:
    """Translate a photo (H, W, 3) at its full resolution, as overlapping tiles of `size` that are blended.

    A photo with a side under `size` is enlarged first, and the result reduced again. A tile shows only a part of a
    large face: for portraits the whole photo at the generator's size is mostly better.
    """
    height, width = photo.shape[:2]
    scale = max(1.0, size / min(height, width))
    if scale > 1.0:
        photo = resize(photo, round(width * scale), round(height * scale))
    total = np.zeros(photo.shape, np.float32)
    weight = np.zeros((*photo.shape[:2], 1), np.float32)
    window = _window(size)
    boxes = [
        Box(left, top, size, size)
        for top in _tile_starts(photo.shape[0], size)
        for left in _tile_starts(photo.shape[1], size)
    ]
    for box, output in zip(boxes, generate(box.crop(photo) for box in boxes), strict=True):
        rows, columns = slice(box.top, box.top + size), slice(box.left, box.left + size)
        total[rows, columns] += window * output
        weight[rows, columns] += window
    result = np.rint(total / weight).astype(np.uint8)
    return resize(result, width, height) if scale > 1.0 else result


def _tile_starts(length: int, size: int) -> list[int]:
    """Place tiles of `size` evenly over `length`, overlapping by at least OVERLAP."""
    stride = size * (1.0 - OVERLAP)
    count = 1 + int(np.ceil((length - size) / stride))
    return [round(start) for start in np.linspace(0, length - size, count).tolist()]


def _window(size: int) -> npt.NDArray[np.float32]:
    """(size, size, 1) weights that fall from the centre of a tile to just above zero at its edge (a sine squared)."""
    profile = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    return np.outer(profile, profile)[..., None].astype(np.float32)


def _to_grey(photo: Uint8Image) -> Uint8Image:
    """(H, W, 3) -> (H, W, 1), for a generator of one channel."""
    grey: Uint8Image = np.rint(photo @ LUMA).astype(np.uint8)[..., None]
    return grey
