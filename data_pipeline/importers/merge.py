"""Join prepared datasets into one with named styles: one model then learns them all."""

import dataclasses
import hashlib
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from limner.core.config import require
from limner.data_pipeline.importers.collection import Rejection
from limner.data_pipeline.importers.prepare import Splits, map_in_threads, write_once
from limner.data_pipeline.importers.source import safe_id
from limner.data_pipeline.index import SPLITS, Dataset, Record, load_dataset


def merge_datasets(datasets: Sequence[Path], styles: Sequence[str], out: Path) -> None:
    """Join prepared datasets; splits, attributes and image files stay as they are, ids get the directory's name.

    Args:
        datasets: two or more dataset directories of one size and fit, all of pairs or all of portraits.
        styles: a name for each style of each dataset, in order, where a dataset without styles counts as one style;
            a name that is given again joins those styles.
        out: the dataset directory to write; images are hard links to those of `datasets` where the disk allows it.
    """
    require(len(datasets) > 1, "merge needs two or more prepared datasets")
    parts = [load_dataset(path) for path in datasets]
    _check_alike(parts)
    names = tuple(dict.fromkeys(styles))
    numbers = _number_styles(parts, styles, names)
    header = {
        "name": " + ".join(part.name for part in parts),
        "source": " + ".join(part.source for part in parts),
        "licence": "; ".join(dict.fromkeys(part.licence for part in parts)),
        "size": parts[0].size,
        "fit": parts[0].fit,
        "styles": names,
        "preparation": {
            "importer": "merge",
            "styles": list(styles),
            "datasets": [_prefix(part) for part in parts],
            "source_sha256": hashlib.sha256("".join(part.content_hash for part in parts).encode()).hexdigest(),
        },
    }
    write_once(out, header, datasets, partial(_write_parts, parts, numbers))


def _check_alike(parts: Sequence[Dataset]) -> None:
    """Raise UserError unless all parts can be joined."""
    first = parts[0]
    kinds = {part.root: _kind(part) for part in parts}
    for part in parts[1:]:
        for what, one, other in (
            ("size", first.size, part.size),
            ("fit", first.fit, part.fit),
            ("content", kinds[first.root], kinds[part.root]),
        ):
            message = f"{first.root} has {what} {one} and {part.root} has {other}: merge takes datasets of one {what}"
            require(one == other, message)
    seen: dict[str, Path] = {}
    for part in parts:
        for record in (record for rows in part.splits.values() for record in rows):
            owner = seen.setdefault(_joined_id(part, record).casefold(), part.root)
            message = f"{owner} and {part.root} would both have an image {_joined_id(part, record)}: rename one of them"
            require(owner is part.root, message)


def _kind(part: Dataset) -> str:
    return "pairs" if all(record.sketch for rows in part.splits.values() for record in rows) else "portraits"


def _number_styles(parts: Sequence[Dataset], styles: Sequence[str], names: Sequence[str]) -> list[list[int]]:
    """Return for each part the new number of each of its styles; UserError if there is not a name for each."""
    counts = [max(1, len(part.styles)) for part in parts]
    wanted = ", ".join(f"{part.root} {count}" for part, count in zip(parts, counts, strict=True))
    require(len(styles) == sum(counts), f"styles: got {len(styles)} names, must be {sum(counts)} ({wanted})")
    require(all(styles), "styles: a name is empty")
    remaining = iter(styles)
    return [[names.index(next(remaining)) for _ in range(count)] for count in counts]


def _write_parts(
    parts: Sequence[Dataset], numbers: Sequence[Sequence[int]], root: Path
) -> tuple[Splits, list[Rejection]]:
    """Write the images under `root`; return the records by split, and no rejections."""
    splits: Splits = {split: [] for split in SPLITS}
    files: list[tuple[Path, Path]] = []
    for part, styles in zip(parts, numbers, strict=True):
        for split, rows in part.splits.items():
            for row in rows:
                joined = _rename(part, row, styles[row.style])
                splits[split].append(joined)
                files += [(part.root / old, root / new) for old, new in zip(row.files, joined.files, strict=True)]
    for folder in {target.parent for _, target in files}:
        folder.mkdir()
    map_in_threads(lambda paths: _link(*paths), files, "merging")
    return splits, []


def _rename(part: Dataset, record: Record, style: int) -> Record:
    """Return the record under its new id and style."""
    name = _joined_id(part, record)
    photo, *sketch = (
        f"{folder}/{name}{PurePosixPath(file).suffix}"
        for folder, file in zip(("photo", "sketch"), record.files, strict=False)
    )
    return dataclasses.replace(record, id=name, photo=photo, sketch=sketch[0] if sketch else None, style=style)


def _joined_id(part: Dataset, record: Record) -> str:
    return f"{_prefix(part)}-{record.id}"


def _prefix(part: Dataset) -> str:
    return safe_id(part.root.resolve().name)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
