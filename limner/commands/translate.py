"""`limner translate`: photos in, the images that a generator makes of them out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from limner.core.config import require
from limner.core.image_grid import comparison_grid, save_png
from limner.core.images import Uint8Image
from limner.core.runs import find_model
from limner.core.util.cli import parse
from limner.core.util.errors import UserError
from limner.core.util.log import log
from limner.core.util.progress import track
from limner.core.util.text import count_of
from limner.data_pipeline.faces import find_portraits
from limner.data_pipeline.images import Box, ImageError, read_image
from limner.deploy.load import load
from limner.deploy.translation import Face, Mode, Translator, check_faces

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
"""Files of a folder that are taken for images."""


@dataclass(frozen=True)
class Options:
    """Turn portrait photos into sketches of the same size, one PNG for each under its name."""

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files, or folders, which are searched for images."""
    model: Annotated[str | None, tyro.conf.arg(metavar="DIR_OR_NAME")] = None
    """A model bundle, a run or an engine; left out: the newest run's that takes photos."""
    out: Path = Path("out")
    """The folder that the sketches are written to."""
    style: Annotated[str | None, tyro.conf.arg(metavar="NAME_OR_NUMBER")] = None
    """The style, for a model that has several."""
    mode: Mode = "model"
    """model: fitted as in training; stretch, pad, crop: the whole photo; tile: full resolution, piece by piece."""
    face: Face = "auto"
    """auto: where a photo is no portrait, draw the square around its largest face; off: always the whole photo."""
    paste: bool = False
    """Draw the portraits of all faces on white paper as large as the photo."""
    compare: bool = False
    """Also write sheets/compare_01.png, ...: photos next to their sketches."""
    batch_size: int = 8
    """Photos, or tiles, at a time."""


@dataclass(frozen=True)
class Photo:
    """A photo to translate and the file that its sketch is written to."""

    source: Path
    target: Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Translate the photos that can be read; UserError at the end that names the others.

    arguments: without the program's name; None: those of this process.
    """
    options = parse(Options, arguments, prog="limner translate")
    require(options.batch_size >= 1, f"batch-size {options.batch_size}: must be at least 1")
    require(bool(options.photos), "no photo given: name image files or folders")
    check_faces(options.face, options.paste, options.mode)
    photos = plan_output(find_images(options.photos), options)
    failures: list[str] = []
    with load(find_model(options.model, "photo")) as translator:
        if not isinstance(translator, Translator):
            raise UserError(f"{translator.name}: generates portraits from noise and takes no photos: limner sample")
        translator.find_style(options.style)  # refuses a wrong one before anything is read
        done = translate(translator, photos, options, failures)
        for _ in track(done, len(photos), "translating", options.batch_size):
            pass
    log.info(f"{count_of(len(photos) - len(failures), 'image')} in {options.out}")
    if failures:
        raise UserError(f"{count_of(len(failures), 'image')} could not be read: {'; '.join(failures)}")


def translate(
    translator: Translator, photos: Sequence[Photo], options: Options, failures: list[str]
) -> Iterator[Photo]:
    """Translate and write a batch at a time; yield each photo when it is done, also if it could not be read.

    failures: takes the reason for each that could not.
    """
    for number, first in enumerate(range(0, len(photos), options.batch_size), 1):
        batch = photos[first : first + options.batch_size]
        images = read_batch(batch, failures)
        parts = find_parts(images, options.paste) if options.face == "auto" else None
        sketches = translator.translate(
            list(images.values()), options.style, options.mode, options.batch_size, parts, options.paste
        )
        for photo, sketch in zip(images, sketches, strict=True):
            save_png(photo.target, sketch)
        if options.compare and images:
            columns = {"photo": list(images.values()), "sketch": sketches}
            names = [photo.source.name for photo in images]
            save_png(grid_path(options.out, number), comparison_grid(columns, names))
        yield from batch


def find_parts(images: Mapping[Photo, Uint8Image], every: bool) -> list[list[Box]]:
    """Find the portraits in each photo; a photo without a face is named, and will be drawn whole."""
    parts = []
    for photo, image in images.items():
        parts.append(find_portraits(image, every))
        if not parts[-1]:
            log.info(f"{photo.source.name}: no face found, drawn whole")
    return parts


def read_batch(photos: Sequence[Photo], failures: list[str]) -> dict[Photo, Uint8Image]:
    """Read the photos, (H, W, 3) uint8 each; the reason for each that cannot be read is added to `failures`."""
    images = {}
    for photo in photos:
        try:
            images[photo] = read_image(photo.source)
        except ImageError as error:
            failures.append(str(error))
    return images


def find_images(given: Iterable[Path]) -> list[Path]:
    """List the image files among files and folders; hidden files and folders within a folder are left out.

    UserError for a path that does not exist and for a folder without images.
    """
    found: list[Path] = []
    for path in given:
        require(path.exists(), f"{path}: no such file or folder")
        inside = sorted(file for file in path.rglob("*") if _is_image(file, path)) if path.is_dir() else []
        require(path.is_file() or bool(inside), f"{path}: has no images ({', '.join(sorted(SUFFIXES))})")
        found += inside or [path]
    return found


def _is_image(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in SUFFIXES and not hidden and file.is_file()


def grid_path(out: Path, number: int) -> Path:
    """The file of a batch's comparison grid; numbers count from 1."""
    return out / "sheets" / f"compare_{number:02d}.png"


def plan_output(sources: Sequence[Path], options: Options) -> list[Photo]:
    """Give each photo an output file of its own: its stem, with a number where several have the same.

    UserError if an output file is one of the photos, or would be found as a photo next time.
    """
    photos: list[Photo] = []
    taken: set[str] = set()
    for source in sources:
        name, number = source.stem, 2
        while name.casefold() in taken:  # file systems may not distinguish upper and lower case
            name, number = f"{source.stem}-{number}", number + 1
        taken.add(name.casefold())
        photos.append(Photo(source, options.out / f"{name}.png"))
    grids = range(1, -(-len(photos) // options.batch_size) + 1) if options.compare else ()
    targets = [*(photo.target for photo in photos), *(grid_path(options.out, number) for number in grids)]
    check_output(options.out, options.photos, sources, targets)
    return photos


def check_output(out: Path, given: Iterable[Path], photos: Iterable[Path], targets: Iterable[Path]) -> None:
    """Raise UserError if a file to be written to `out` is one of the photos, or would be found as a photo next time.

    given: the files and folders in which the photos were found.
    """
    for path in given:
        inside = path.is_dir() and out.resolve().is_relative_to(path.resolve())
        require(not inside, f"out {out}: lies within {path}, which is searched for photos: choose an --out outside it")
    inputs = {_identity(photo): photo for photo in photos}
    for target in targets:
        photo = inputs.get(_identity(target)) if target.exists() else None
        name = target.relative_to(out).as_posix()
        require(photo is None, f"out {out}: its {name} would overwrite the photo {photo}, give another --out")


def _identity(file: Path) -> tuple[int, int]:
    """The same for all names of one file, also on file systems that do not distinguish upper and lower case."""
    status = file.stat()
    return status.st_dev, status.st_ino
