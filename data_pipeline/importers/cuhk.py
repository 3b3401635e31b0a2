"""The CUHK student face sketch set (Wang and Tang 2009, doi:10.1109/TPAMI.2008.222), training and testing part."""

import re
from functools import partial
from pathlib import Path, PurePosixPath

from limner.data_pipeline.importers.collection import Collection, Item, Rejection, decode_pair, match_pairs
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare
from limner.data_pipeline.importers.source import open_source, safe_id, select_release

PARTS = {"training": False, "testing": True}
"""Part, in folders PART_photo and PART_sketch -> whether it is the official test split."""
FOLDERS = {f"{part}_{kind}" for part in PARTS for kind in ("photo", "sketch")}
PHOTO = re.compile(r"([fm]\d?)-(\d+-\d+)", re.IGNORECASE)
SKETCH = re.compile(r"([fm])(\d?)-(\d+-\d+)-sz\d+", re.IGNORECASE)
LICENCE = "for research only (The Chinese University of Hong Kong)"


def import_cuhk(source: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare the CUHK student set: its training part, its testing part (the test split) or both.

    Args:
        source: folder or zip of the CUHK student set.
        out: the dataset directory to write.
    """
    files = open_source(source)
    folders = {folder for file in files for folder in PurePosixPath(file.path).parents if folder.name in FOLDERS}
    what = (
        "the CUHK student set (a folder with training_photo and training_sketch, or testing_photo and testing_sketch)"
    )
    files = select_release(files, {str(folder.parent) for folder in folders}, source, what)
    files = tuple(file for file in files if PurePosixPath(file.path).parts[0] in FOLDERS)
    items: list[Item] = []
    people = {file.path: person for file in files if (person := identity(file.path)) is not None}
    rejected = [Rejection(file.path, "not a CUHK name") for file in files if file.path not in people]
    for part, test in PARTS.items():
        photos, sketches = (
            [file for file in files if file.path.startswith(f"{part}_{kind}/") and file.path in people]
            for kind in ("photo", "sketch")
        )
        pairs, unmatched = match_pairs(photos, sketches, lambda file: people[file.path])
        rejected += unmatched
        items += [
            Item(safe_id(person), (photo.path, sketch.path), partial(decode_pair, photo, sketch), test=test)
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
    """Return the person in a file as the photo's lower-case stem; None if the name follows neither scheme.

    Photo f-005-01 has sketch F2-005-01-sz1 in the training part. In the testing part a sketch's name is the photo's
    stem + -sz1, so m1-041-01-sz1 belongs to m1-041-01 and not to m-041-01.
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
