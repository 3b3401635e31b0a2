"""Write and read a prepared dataset directory: dataset.json and {train,val,test}.jsonl over photo/ and sketch/."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from limner.core.config import Fit
from limner.core.util.errors import UserError
from limner.core.util.files import sha256
from limner.core.util.text import count_of

SPLITS = ("train", "val", "test")
MANIFEST = "dataset.json"
PREPARE = "limner prepare"


@dataclass(frozen=True)
class Record:
    """One line of an index: a photo, its sketch if it has one, their style and attributes."""

    id: str
    """Unique in the dataset, case ignored; a valid file name on every platform."""
    photo: str
    """Path relative to the dataset's root, with forward slashes."""
    sketch: str | None
    style: int = 0
    """Index into the dataset's `styles`; 0 if it has none."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """The source's annotation, unchanged."""

    @property
    def files(self) -> tuple[str, ...]:
        """The record's image files: the photo and, if there is one, the sketch."""
        return (self.photo,) if self.sketch is None else (self.photo, self.sketch)


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset of images of `size` x `size` pixels."""

    root: Path
    name: str
    source: str
    licence: str
    size: int
    fit: Fit
    """How images were fitted into the square; inputs of a model trained on them must be fitted in the same way."""
    styles: tuple[str, ...]
    """Names of the styles; empty if the source has none."""
    content_hash: str
    """SHA-256 over the index lines and the image files: equal hashes mean equal training data."""
    splits: dict[str, tuple[Record, ...]]
    preparation: dict[str, Any] = field(default_factory=dict)
    """Importer, its options and the source's hash; equal values give equal datasets."""

    def classified_by(self, attribute: str) -> "Dataset":
        """Return the dataset with the values of an attribute as its styles; "style" keeps the styles.

        Raises UserError if records lack the attribute or if it has fewer than 2 or more than 64 values.
        """
        if attribute == "style":
            if not self.styles:
                raise UserError(f"condition style: {self.root} has no styles")
            return self
        rows = [row for records in self.splits.values() for row in records]
        shared = set.intersection(*(set(row.attributes) for row in rows))
        if attribute not in shared:
            raise UserError(
                f"condition {attribute}: {self.root} does not have it for every image "
                f"(allowed: {', '.join(['style'] * bool(self.styles) + sorted(shared)) or 'none'})"
            )
        values = sorted({str(row.attributes[attribute]) for row in rows})
        if not 2 <= len(values) <= 64:
            got = count_of(len(values), "value")
            raise UserError(f"condition {attribute}: has {got} in {self.root}, must be 2 to 64")
        numbers = {value: number for number, value in enumerate(values)}
        splits = {
            split: tuple(dataclasses.replace(row, style=numbers[str(row.attributes[attribute])]) for row in records)
            for split, records in self.splits.items()
        }
        return dataclasses.replace(self, styles=tuple(f"{attribute} {value}" for value in values), splits=splits)

    def split(self, name: str) -> tuple[Record, ...]:
        """Return the records of a split, sorted by id.

        Raises UserError, which names the other splits, if it has none.
        """
        records = self.splits.get(name, ())
        if not records:
            others = ", ".join(f"{split} ({len(rows)})" for split, rows in self.splits.items() if rows)
            more = f", or prepare it again with a larger --{name}-fraction" if name in ("val", "test") else ""
            raise UserError(
                f"{self.root} has no images in split {name!r}; it has {others}: give one of these as --split{more}"
            )
        return records


def write_dataset(
    root: Path, header: Mapping[str, Any], splits: Mapping[str, Sequence[Record]], rejected: Sequence[Mapping[str, str]]
) -> None:
    """Write the index files of images that are already under `root`; dataset.json comes last.

    header: the fields name, source, licence, size, fit, styles and preparation of `Dataset`.
    rejected: the lines of rejected.jsonl, each with file, reason and detail.
    """
    lines = {split: _lines(dataclasses.asdict(row) for row in sorted(splits[split], key=_by_id)) for split in SPLITS}
    for split, text in lines.items():
        (root / f"{split}.jsonl").write_bytes(text)
    (root / "rejected.jsonl").write_bytes(_lines(rejected))
    counts = {split: len(splits[split]) for split in SPLITS} | {"rejected": len(rejected)}
    manifest = {**header, "counts": counts, "content_hash": _content_hash(root, splits)}
    (root / MANIFEST).write_bytes(json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n")


def load_dataset(path: Path | str) -> Dataset:
    """Read and check a dataset directory.

    Raises UserError: not a dataset directory, a damaged index (with file and line), or missing image files.
    """
    root = Path(path)
    if not (root / MANIFEST).is_file():
        raise UserError(f"{root} is not a prepared dataset (it has no {MANIFEST}): make one with {PREPARE}")
    try:
        manifest = json.loads((root / MANIFEST).read_bytes())
        splits = {split: _read_records(root / f"{split}.jsonl") for split in SPLITS}
        dataset = Dataset(
            root=root,
            splits=splits,
            styles=tuple(manifest["styles"]),
            **{
                key: manifest[key]
                for key in ("name", "source", "licence", "size", "fit", "content_hash", "preparation")
            },
        )
        _check(dataset, manifest["counts"])
    except (KeyError, TypeError, ValueError, FileNotFoundError) as error:
        what = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"the index of {root} is damaged ({what}): delete it and run {PREPARE} again") from error
    missing = [name for rows in splits.values() for row in rows for name in row.files if not (root / name).is_file()]
    if missing:
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UserError(
            f"{count_of(len(missing), 'image')} missing from {root} ({names}): delete it and run {PREPARE} again"
        )
    return dataset


def _check(dataset: Dataset, counts: Mapping[str, int]) -> None:
    """Raise ValueError for what is wrong in a parsed index."""
    if not (isinstance(dataset.size, int) and dataset.size > 0):
        raise ValueError(f"{MANIFEST}: size {dataset.size!r}")
    if dataset.fit not in get_args(Fit):
        raise ValueError(f"{MANIFEST}: fit {dataset.fit!r}, allowed {', '.join(get_args(Fit))}")
    seen: set[str] = set()
    for split, records in dataset.splits.items():
        if len(records) != counts[split]:
            raise ValueError(f"{split}.jsonl has {len(records)} lines, {MANIFEST} says {counts[split]}")
        for record in records:
            if record.id.casefold() in seen:
                raise ValueError(f"{split}.jsonl: id {record.id!r} occurs twice")
            seen.add(record.id.casefold())
            if not 0 <= record.style < max(1, len(dataset.styles)):
                raise ValueError(f"{split}.jsonl: style {record.style} of {record.id!r}")


def _read_records(path: Path) -> tuple[Record, ...]:
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = Record(**json.loads(line))
            if not all(isinstance(value, str) for value in (record.id, *record.files)) or type(record.style) is not int:
                raise TypeError("a field has the wrong type")
            for name in record.files:
                path_in_root = PurePosixPath(name)
                if path_in_root.is_absolute() or ".." in path_in_root.parts or "\\" in name or ":" in name:
                    raise ValueError(f"path {name!r} leaves the dataset")
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path.name} line {number}: {error}") from error
        records.append(record)
    return tuple(sorted(records, key=_by_id))


def _by_id(record: Record) -> str:
    return record.id


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Encode rows as JSON lines: UTF-8, line feeds on every platform."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _content_hash(root: Path, splits: Mapping[str, Sequence[Record]]) -> str:
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update((root / f"{split}.jsonl").read_bytes() + split.encode() + b"\n")
        for record in sorted(splits[split], key=_by_id):
            for name in record.files:
                digest.update(bytes.fromhex(sha256(root / name)))
    return digest.hexdigest()
