"""Side-by-side pictures A|B, as pix2pix releases have them: the photo on the left, its sketch on the right."""

from pathlib import Path

from limner.core.images import Uint8Image
from limner.data_pipeline.images import PictureError
from limner.data_pipeline.importers.folders import collect_singles
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare
from limner.data_pipeline.importers.source import File


def import_combined(source: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare pairs from the left and right halves of pictures."""
    prepare(collect_singles("combined", source, read_halves), out, options)


def read_halves(file: File) -> tuple[Uint8Image, Uint8Image]:
    """The left and right half of a picture; PictureError where it cannot be two portraits of equal size."""
    image = file.decode()
    height, width = image.shape[:2]
    if width % 2 or width < height:
        reason = "an odd width" if width % 2 else "taller than wide"
        raise PictureError("not two pictures side by side", f"{width}x{height}: {reason}", file.path)
    return image[:, : width // 2], image[:, width // 2 :]
