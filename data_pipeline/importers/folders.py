"""The user's own images in folders: photos with sketches of the same names, or photos alone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from limner.core.config import require
from limner.core.images import Uint8Image
from limner.data_pipeline.importers.collection import Collection, Item, decode_pair, index_by_name, match_pairs
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare
from limner.data_pipeline.importers.source import File, open_source, safe_id

LICENCE = "not known: the user's own images"


def import_pairs(photos: Path, sketches: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare pairs: a photo's sketch has the same path and name under `sketches`, with any extension.

    Args:
        photos: folder or zip of photos.
        sketches: folder or zip of their sketches.
        out: the dataset directory to write.
    """
    require(photos.resolve() != sketches.resolve(), f"photos and sketches are both {photos}: give two folders")
    photo_files, sketch_files = _open_under("photos", photos), _open_under("sketches", sketches)
    pairs, rejected = match_pairs(photo_files, sketch_files, _name)
    collection = Collection(
        importer="pairs",
        name=photos.resolve().name,
        source=f"images {photos.resolve().name} with {sketches.resolve().name}",
        licence=LICENCE,
        files=(*photo_files, *sketch_files),
        items=tuple(
            Item(safe_id(_name(photo)), (photo.path, sketch.path), partial(decode_pair, photo, sketch))
            for photo, sketch in pairs.values()
        ),
        rejected=tuple(rejected),
        folders=(photos, sketches),
    )
    prepare(collection, out, options)


def _open_under(kind: str, source: Path) -> list[File]:
    """Open a source with `kind` prepended to its paths, so that photos and sketches of equal names have two paths."""
    return [File(f"{kind}/{file.path}", file.read) for file in open_source(source)]


def _name(file: File) -> str:
    """Return the stem without the prepended kind."""
    return file.stem.partition("/")[2]


def import_portraits(source: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare photos without sketches.

    Args:
        source: folder or zip of photos.
        out: the dataset directory to write.
    """
    prepare(collect_files("portraits", source, lambda file: (file.decode(), None)), out, options)


def collect_files(
    importer: str, source: Path, load: Callable[[File], tuple[Uint8Image, Uint8Image | None]]
) -> Collection:
    """Collect a folder or zip with one item per file.

    load: makes photo and sketch, (H, W, 3) uint8 RGB, from one file; raises ImageError.
    """
    files = open_source(source)
    named, duplicates = index_by_name(files, lambda file: file.stem)
    return Collection(
        importer=importer,
        name=source.resolve().name,
        source=f"images {source.resolve().name}",
        licence=LICENCE,
        files=files,
        items=tuple(Item(safe_id(file.stem), file.files, partial(load, file)) for file in named.values()),
        rejected=tuple(duplicates),
        folders=(source,),
    )
