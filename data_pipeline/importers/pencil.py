"""Portraits with pencil sketches computed from them by OpenCV: pairs without an artist."""

from functools import partial
from pathlib import Path

import cv2

from limner.core.images import Uint8Image
from limner.data_pipeline.images import fit_image
from limner.data_pipeline.importers.folders import collect_files
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare
from limner.data_pipeline.importers.source import File

BLUR = 0.03
"""Standard deviation of the blur as a fraction of the side: about the width of a stroke's soft edge."""


def import_pencil(source: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare photos with computed pencil sketches as their targets.

    Args:
        source: folder or zip of photos.
        out: the dataset directory to write.
    """
    prepare(collect_files("pencil", source, partial(_load_pair, options)), out, options)


def _load_pair(options: PrepareOptions, file: File) -> tuple[Uint8Image, Uint8Image]:
    """Fit the photo, then sketch it: so strokes have the same width in all sketches."""
    photo, _ = fit_image(file.decode(), options.size, options.fit)
    return photo, sketch_pencil(photo)


def sketch_pencil(photo: Uint8Image) -> Uint8Image:
    """Compute a pencil-like sketch of a photo, both (H, W, 3) uint8 RGB.

    Colour dodge: grey / blur(grey), so that flat areas of any tone become white paper and dark edges become strokes.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    blurred = cv2.GaussianBlur(grey, (0, 0), BLUR * min(grey.shape))
    sketch = cv2.divide(grey, blurred, scale=255)
    return cv2.cvtColor(sketch, cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]
