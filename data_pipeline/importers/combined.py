"""Side-by-side images A|B, as in the releases of pix2pix: the photo on the left, its sketch on the right."""

from pathlib import Path

from limner.core.images import Uint8Image
from limner.data_pipeline.images import ImageError
from limner.data_pipeline.importers.folders import collect_files
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare
from limner.data_pipeline.importers.source import File


def import_combined(source: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare pairs from side-by-side images: the photo on the left, its sketch on the right.

    Args:
        source: folder or zip of side-by-side images.
        out: the dataset directory to write.
    """
    prepare(collect_files("combined", source, split_halves), out, options)


def split_halves(file: File) -> tuple[Uint8Image, Uint8Image]:
    """Decode an image and split it into its left and right half, each (H, W / 2, 3) uint8 RGB.

    Raises ImageError if it cannot be two portraits of equal size.
    """
    image = file.decode()
    height, width = image.shape[:2]
    if width % 2 or width < height:
        problem = "an odd width" if width % 2 else "taller than wide"
        raise ImageError("not two images side by side", f"{width}x{height}: {problem}", file.path)
    return image[:, : width // 2], image[:, width // 2 :]
