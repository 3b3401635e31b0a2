"""Portraits with pencil sketches that OpenCV draws from them: pairs where there is no artist."""

from functools import partial
from pathlib import Path

import cv2

from limner.core.images import Uint8Image
from limner.data_pipeline.images import fit_picture
from limner.data_pipeline.importers.folders import collect_singles
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare
from limner.data_pipeline.importers.source import File

BLUR = 0.03
"""Standard deviation of the blur as a fraction of the side: about the breadth of a stroke's soft edge."""


def import_pencil(source: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare photos with drawn pencil sketches as their targets."""
    prepare(collect_singles("pencil", source, partial(_read_and_draw, options)), out, options)


def _read_and_draw(options: PrepareOptions, file: File) -> tuple[Uint8Image, Uint8Image]:
    """Fitted first, so that strokes are equally broad in all sketches."""
    photo, _ = fit_picture(file.decode(), options.size, options.fit)
    return photo, draw_pencil(photo)


def draw_pencil(photo: Uint8Image) -> Uint8Image:
    """A pencil-like sketch of a photo, both (H, W, 3) uint8 RGB.

    Colour dodge: grey / blur(grey), so that even parts of any tone become white paper and dark edges strokes.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    blurred = cv2.GaussianBlur(grey, (0, 0), BLUR * min(grey.shape))
    sketch = cv2.divide(grey, blurred, scale=255)
    return cv2.cvtColor(sketch, cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]
