"""Pictures of any size through a generator that takes squares, and back to their own size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from limner.core.config import Fit, require
from limner.core.images import Uint8Image
from limner.data_pipeline.images import Box, fit_image, resize

Mode = Literal["model", "stretch", "pad", "crop", "tile"]
"""How a picture becomes squares; "model": as the model's training pictures were fitted."""
Generate = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]
"""(N, S, S, 3) uint8 RGB photos -> the same of sketches."""

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
"""Files of a folder that are taken for pictures."""
OVERLAP = 0.25
"""Least share of a tile's side that it has in common with its neighbour."""


def find_pictures(given: Iterable[Path]) -> list[tuple[str, Path]]:
    """The picture files among files and folders, each with a name for its output that no other has.

    The name is the file's stem, with a number where several share one. Hidden files and folders within a folder are
    left out. UserError for a path that does not exist and a folder without pictures.
    """
    found: list[tuple[str, Path]] = []
    taken: set[str] = set()
    for path in given:
        require(path.exists(), f"{path}: there is no such file or folder")
        inside = sorted(file for file in path.rglob("*") if _is_picture(file, path)) if path.is_dir() else []
        require(path.is_file() or bool(inside), f"{path}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
        for file in inside or [path]:
            name, number = file.stem, 2
            while name.casefold() in taken:  # file systems may not tell cases apart
                name, number = f"{file.stem}-{number}", number + 1
            taken.add(name.casefold())
            found.append((name, file))
    return found


def _is_picture(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in SUFFIXES and not hidden and file.is_file()


def check_out(out: Path, given: Iterable[Path], photos: Iterable[Path], targets: Iterable[Path]) -> None:
    """UserError where a file to be written to `out` is one of the photos, or would be searched for photos next time.

    given: the files and folders in which the photos were found.
    """
    for path in given:
        inside = path.is_dir() and out.resolve().is_relative_to(path.resolve())
        require(not inside, f"out {out}: lies within {path}, which is searched for photos: choose an --out beside it")
    inputs = {_identity(photo): photo for photo in photos}
    for target in targets:
        photo = inputs.get(_identity(target)) if target.exists() else None
        name = target.relative_to(out).as_posix()
        require(photo is None, f"out {out}: its {name} would overwrite the photo {photo}, give another --out")


def _identity(file: Path) -> tuple[int, int]:
    """The same for all names of one file, also where the file system does not tell cases apart."""
    status = file.stat()
    return status.st_dev, status.st_ino


def translate(pictures: Sequence[Uint8Image], generate: Generate, size: int, fit: Fit) -> list[Uint8Image]:
    """Sketches of `pictures`, (H, W, 3) uint8 each, in the pictures' own sizes (`crop`: of their middle squares).

    size: side of the generator's squares; fit: how a picture is brought into one.
    """
    fitted = [fit_image(picture, size, fit) for picture in pictures]
    sketches = generate(np.stack([square for square, _ in fitted]))
    return [fitting.inverse(sketch) for sketch, (_, fitting) in zip(sketches, fitted, strict=True)]


def translate_tiled(picture: Uint8Image, generate: Generate, size: int, batch: int) -> Uint8Image:
    """The sketch of one picture at its full resolution, from overlapping tiles of `size` that fade into each other.

    A picture with a side under `size` is enlarged first, and the sketch reduced again. A tile sees only a part of a
    large face: for portraits the whole picture at the generator's size is mostly better.
    """
    height, width = picture.shape[:2]
    scale = max(1.0, size / min(height, width))
    if scale > 1.0:
        picture = resize(picture, round(width * scale), round(height * scale))
    total = np.zeros(picture.shape, np.float32)
    weight = np.zeros((*picture.shape[:2], 1), np.float32)
    window = _window(size)
    boxes = [
        Box(left, top, size, size)
        for top in _starts(picture.shape[0], size)
        for left in _starts(picture.shape[1], size)
    ]
    sketches = _in_batches(generate, (box.crop(picture) for box in boxes), batch)
    for box, sketch in zip(boxes, sketches, strict=True):
        rows, columns = slice(box.top, box.top + size), slice(box.left, box.left + size)
        total[rows, columns] += window * sketch
        weight[rows, columns] += window
    sketch = np.rint(total / weight).astype(np.uint8)
    return resize(sketch, width, height) if scale > 1.0 else sketch


def _starts(length: int, size: int) -> list[int]:
    """Where tiles of `size` begin so that they cover `length` evenly, overlapping by at least OVERLAP."""
    stride = size * (1.0 - OVERLAP)
    count = 1 + int(np.ceil((length - size) / stride))
    return [round(start) for start in np.linspace(0, length - size, count).tolist()]


def _window(size: int) -> npt.NDArray[np.float32]:
    """(size, size, 1) weights that fall from a tile's middle to just above zero at its edge (a sine squared)."""
    profile = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    return np.outer(profile, profile)[..., None].astype(np.float32)


def _in_batches(generate: Generate, squares: Iterator[Uint8Image], batch: int) -> Iterator[Uint8Image]:
    """Results of `generate` on squares, in order; no more than `batch` of them are held at a time."""
    waiting: list[Uint8Image] = []
    for square in squares:
        waiting.append(square)
        if len(waiting) == batch:
            yield from generate(np.stack(waiting))
            waiting = []
    if waiting:
        yield from generate(np.stack(waiting))
