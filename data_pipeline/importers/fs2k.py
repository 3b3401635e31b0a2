"""FS2K (Fan et al. 2022, arXiv:2112.15439) in its release layout: three styles, attributes, official test split."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from limner.core.util.errors import UserError
from limner.data_pipeline.importers.collection import DUPLICATE, Collection, Item, Rejection, decode_pair, match_pairs
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare
from limner.data_pipeline.importers.source import File, open_source, safe_id, select_release

ANNOTATIONS = {"anno_train.json": False, "anno_test.json": True}
"""File name -> whether its pairs are the official test split."""
STYLES = ("style-0", "style-1", "style-2")
LICENCE = "MIT licence file in the release; the photos come from the web: treat the images as for research only"


def import_fs2k(source: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare FS2K; val is taken from anno_train.json, test is anno_test.json.

    Args:
        source: folder or zip of the FS2K release.
        out: the dataset directory to write.
    """
    files = open_source(source)
    roots = {str(PurePosixPath(file.path).parent) for file in files if PurePosixPath(file.path).name in ANNOTATIONS}
    what = "FS2K (a folder with anno_train.json, anno_test.json, photo and sketch)"
    files = select_release(files, roots, source, what)
    annotations = [file for file in files if file.path in ANNOTATIONS]
    images = [file for file in files if file.path.startswith(("photo/", "sketch/"))]
    items, rejected = _collect_items(annotations, images)
    collection = Collection(
        importer="fs2k",
        name="FS2K",
        source="FS2K release, https://github.com/DengPingFan/FS2K",
        licence=LICENCE,
        files=(*annotations, *images),
        items=tuple(items),
        rejected=tuple(rejected),
        styles=STYLES,
        folders=(source,),
    )
    prepare(collection, out, options)


def _collect_items(annotations: Sequence[File], images: Sequence[File]) -> tuple[list[Item], list[Rejection]]:
    """Match photos and sketches with the rows of the annotations; reject whatever lacks one of the three."""
    photos, sketches = ([file for file in images if file.path.startswith(f"{kind}/")] for kind in ("photo", "sketch"))
    pairs, rejected = match_pairs(photos, sketches, _image_name)
    items: dict[str, Item] = {}
    known = {_image_name(file).casefold() for file in images}
    for annotation in annotations:
        for row in _read_rows(annotation):
            name = row["image_name"]
            key = name.casefold()
            if key in items:
                rejected.append(Rejection(f"photo/{name}", DUPLICATE, f"listed again in {annotation.path}"))
            elif key in pairs:
                photo, sketch = pairs[key]
                items[key] = Item(
                    id=safe_id(name.replace("/", "-")),
                    files=(photo.path, sketch.path),
                    load=partial(decode_pair, photo, sketch),
                    style=row["style"],
                    attributes={field: row[field] for field in row if field not in ("image_name", "style")},
                    test=ANNOTATIONS[annotation.path],
                )
            elif key not in known:  # otherwise its only file is rejected already
                rejected.append(Rejection(f"photo/{name}", "missing", f"listed in {annotation.path}, no such files"))
    for key in pairs.keys() - items.keys():
        rejected += [Rejection(file.path, "not in the annotation") for file in pairs[key]]
    return list(items.values()), rejected


def _image_name(file: File) -> str:
    """Return a file's name in the annotation: photo1/image0110 for sketch/sketch1/sketch0110.png and its photo."""
    kind, _, name = file.stem.partition("/")
    if kind == "photo":
        return name
    folder, _, image = name.rpartition("/")
    return f"{folder.replace('sketch', 'photo')}/{image.replace('sketch', 'image')}"


def _read_rows(annotation: File) -> list[dict[str, Any]]:
    """Read and check the rows of an annotation file, each with a str `image_name` and an int `style`, 0 to 2."""
    try:
        rows = json.loads(annotation.read())
    except ValueError as error:
        raise UserError(f"{annotation.path} is damaged ({error}): download FS2K again") from error
    if not isinstance(rows, list):
        raise UserError(f"{annotation.path} must hold a list, got {type(rows).__name__}: download FS2K again")
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("image_name"), str):
            raise UserError(f"{annotation.path}: record {number} has no image_name")
        if type(row.get("style")) is not int or not 0 <= row["style"] < len(STYLES):
            raise UserError(f"{annotation.path}: style of {row['image_name']} is {row.get('style')!r}, allowed 0, 1, 2")
    return rows
