"""Pictures of one's own in folders: photos with sketches of the same names, or photos alone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from limner.core.config import require
from limner.core.images import Uint8Image
from limner.data_pipeline.importers.collection import Collection, Item, by_name, match, read_pair
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare
from limner.data_pipeline.importers.source import File, open_source, safe_id

LICENCE = "not known: the user's own pictures"


def import_pairs(photos: Path, sketches: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare pairs: a photo's sketch has the same path and name under `sketches`, with any extension."""
    require(photos.resolve() != sketches.resolve(), f"photos and sketches are both {photos}: give two folders")
    photo_files, sketch_files = _open_under("photos", photos), _open_under("sketches", sketches)
    photos_by_name, double_photos = by_name(photo_files, _name)
    sketches_by_name, double_sketches = by_name(sketch_files, _name)
    pairs, alone = match(photos_by_name, sketches_by_name)
    collection = Collection(
        importer="pairs",
        name=photos.resolve().name,
        source=f"pictures {photos.resolve().name} with {sketches.resolve().name}",
        licence=LICENCE,
        files=(*photo_files, *sketch_files),
        items=tuple(
            Item(safe_id(_name(photo)), (photo.path, sketch.path), partial(read_pair, photo, sketch))
            for photo, sketch in pairs.values()
        ),
        rejected=(*double_photos, *double_sketches, *alone),
        folders=(photos, sketches),
    )
    prepare(collection, out, options)


def _open_under(kind: str, source: Path) -> list[File]:
    """The files of a source with `kind` before their paths, so that equal names of the two sides stay apart."""
    return [File(f"{kind}/{file.path}", file.read) for file in open_source(source)]


def _name(file: File) -> str:
    """The stem without the side's name in front."""
    return file.stem.partition("/")[2]


def import_portraits(source: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare photos without sketches."""
    prepare(collect_singles("portraits", source, lambda file: (file.decode(), None)), out, options)


def collect_singles(
    importer: str, source: Path, read: Callable[[File], tuple[Uint8Image, Uint8Image | None]]
) -> Collection:
    """All files of a folder or zip, an item each; `read` makes photo and sketch from one file."""
    files = open_source(source)
    named, doubles = by_name(files, lambda file: file.stem)
    return Collection(
        importer=importer,
        name=source.resolve().name,
        source=f"pictures {source.resolve().name}",
        licence=LICENCE,
        files=files,
        items=tuple(Item(safe_id(file.stem), file.files, partial(read, file)) for file in named.values()),
        rejected=tuple(doubles),
        folders=(source,),
    )
