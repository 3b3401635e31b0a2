"""FS2K (Fan et al. 2022, arXiv:2112.15439) in its release layout: three styles, attributes, official test part."""

import json
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from limner.core.util.errors import UserError
from limner.data_pipeline.importers.collection import DUPLICATE, Collection, Item, Rejection, by_name, match, read_pair
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare
from limner.data_pipeline.importers.source import File, enter, open_source, safe_id

ANNOTATIONS = {"anno_train.json": False, "anno_test.json": True}
"""File name: whether its pairs are the official test part."""
STYLES = ("style-0", "style-1", "style-2")
LICENCE = "MIT licence file in the release; the photos come from the web: treat the images as for research only"


def import_fs2k(source: Path, out: Path, options: PrepareOptions) -> None:
    """Prepare FS2K from its folder or zip; val is cut from anno_train.json, test is anno_test.json."""
    files = open_source(source)
    roots = {str(PurePosixPath(file.path).parent) for file in files if PurePosixPath(file.path).name in ANNOTATIONS}
    files = enter(files, roots, source, "FS2K (a folder with anno_train.json, anno_test.json, photo and sketch)")
    pictures = [file for file in files if file.path.startswith(("photo/", "sketch/"))]
    photos, double_photos = by_name((file for file in pictures if file.path.startswith("photo/")), _image_name)
    sketches, double_sketches = by_name((file for file in pictures if file.path.startswith("sketch/")), _image_name)
    pairs, rejected = match(photos, sketches)
    rejected += double_photos + double_sketches

    items: dict[str, Item] = {}
    known = {_image_name(file).casefold() for file in pictures}
    annotations = [file for file in files if file.path in ANNOTATIONS]
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
                    pictures=partial(read_pair, photo, sketch),
                    style=row["style"],
                    attributes={field: row[field] for field in row if field not in ("image_name", "style")},
                    test=ANNOTATIONS[annotation.path],
                )
            elif key not in known:  # else its lonely file is rejected already
                rejected.append(Rejection(f"photo/{name}", "missing", f"listed in {annotation.path}, no such files"))
    for key in pairs.keys() - items.keys():
        rejected += [Rejection(file.path, "not in the annotation") for file in pairs[key]]
    collection = Collection(
        importer="fs2k",
        name="FS2K",
        source="FS2K release, https://github.com/DengPingFan/FS2K",
        licence=LICENCE,
        files=(*annotations, *pictures),
        items=tuple(items.values()),
        rejected=tuple(rejected),
        styles=STYLES,
        folders=(source,),
    )
    prepare(collection, out, options)


def _image_name(file: File) -> str:
    """photo/photo1/image0110.jpg and sketch/sketch1/sketch0110.png -> photo1/image0110, as the annotation has it."""
    kind, _, name = file.stem.partition("/")
    if kind == "photo":
        return name
    folder, _, picture = name.rpartition("/")
    return f"{folder.replace('sketch', 'photo')}/{picture.replace('sketch', 'image')}"


def _read_rows(annotation: File) -> list[dict[str, Any]]:
    """The rows of an annotation file, each with a text `image_name` and a `style` of 0 to 2."""
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
