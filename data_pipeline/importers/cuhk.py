"""The CUHK student face sketch set (Wang and Tang 2009, doi:10.1109/TPAMI.2008.222), training and testing part."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from limner.data_pipeline.importers.collection import Collection, Item, Rejection, by_name, match, read_pair
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare
from limner.data_pipeline.importers.source import File, enter, open_source, safe_id

PARTS = {"training": False, "testing": True}
"""Part, in folders PART_photo and PART_sketch: whether it is the official test part."""
FOLDERS = {f"{part}_{kind}" for part in PARTS for kind in ("photo", "sketch")}
PHOTO = re.compile(r"([fm]\d?)-(\d+-\d+)", re.IGNORECASE)
SKETCH = re.compile(r"([fm])(\d?)-(\d+-\d+)-sz\d+", re.IGNORECASE)
LICENCE = "for research only (The Chinese University of Hong Kong)"


def import_cuhk(source: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare the CUHK set from a folder or zip that holds the training part, the testing part (then test), or both."""
    files = open_source(source)
    folders = {folder for file in files for folder in PurePosixPath(file.path).parents if folder.name in FOLDERS}
    what = (
        "the CUHK student set (a folder with training_photo and training_sketch, or testing_photo and testing_sketch)"
    )
    files = enter(files, {str(folder.parent) for folder in folders}, source, what)
    files = tuple(file for file in files if PurePosixPath(file.path).parts[0] in FOLDERS)
    items: list[Item] = []
    rejected: list[Rejection] = []
    for part, test in PARTS.items():
        photos, bad_photos = _by_identity([file for file in files if file.path.startswith(f"{part}_photo/")])
        sketches, bad_sketches = _by_identity([file for file in files if file.path.startswith(f"{part}_sketch/")])
        pairs, alone = match(photos, sketches)
        rejected += bad_photos + bad_sketches + alone
        items += [
            Item(safe_id(person), (photo.path, sketch.path), partial(read_pair, photo, sketch), test=test)
            for person, (photo, sketch) in pairs.items()
        ]
    collection = Collection(
        importer="cuhk",
        name="CUHK student",
        source="CUHK Face Sketch Database (CUFS), student part",
        licence=LICENCE,
        files=files,
        items=tuple(items),
        rejected=tuple(rejected),
        folders=(source,),
    )
    prepare(collection, out, options)


def identity(path: str) -> str | None:
    """Whom a file shows, as the photo's lower-case stem; None where the name is of neither scheme.

    Photo f-005-01 has sketch F2-005-01-sz1 in the training part; in the testing part a sketch is photo stem + -sz1,
    so that m1-041-01-sz1 belongs to m1-041-01 and to no m-041-01.
    """
    stem = PurePosixPath(path).stem
    if photo := PHOTO.fullmatch(stem):
        return f"{photo[1]}-{photo[2]}".lower()
    if sketch := SKETCH.fullmatch(stem):
        letter, digit, rest = sketch.groups()
        if letter.isupper() and digit == "2":
            digit = ""
        return f"{letter}{digit}-{rest}".lower()
    return None


def _by_identity(files: Sequence[File]) -> tuple[dict[str, File], list[Rejection]]:
    strange = [Rejection(file.path, "not a CUHK name") for file in files if identity(file.path) is None]
    known, doubles = by_name((file for file in files if identity(file.path)), lambda file: identity(file.path) or "")
    return known, strange + doubles
