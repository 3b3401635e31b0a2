"""A prepared dataset directory: dataset.json and {train,val,test}.jsonl over photo/ and sketch/, written and read."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from limner.core.config import Fit
from limner.core.util.errors import UserError

SPLITS = ("train", "val", "test")
MANIFEST = "dataset.json"
PREPARE = "python scripts/prepare_data.py"


@dataclass(frozen=True)
class Record:
    """One line of an index: a photo, its sketch if it has one, and what is known of them."""

    id: str
    """Unique in the dataset, also where case does not count; safe as a file name everywhere."""
    photo: str
    """Path under the dataset's root, with forward slashes."""
    sketch: str | None
    style: int = 0
    """Place in the dataset's `styles`; 0 where it has none."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """The source's own annotation, untouched."""

    @property
    def files(self) -> tuple[str, ...]:
        """The record's picture files."""
        return (self.photo,) if self.sketch is None else (self.photo, self.sketch)


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset. All its pictures are `size` x `size`."""

    root: Path
    name: str
    source: str
    licence: str
    size: int
    fit: Fit
    """How pictures were brought into the square; inputs of a model trained on them are to be fitted alike."""
    styles: tuple[str, ...]
    """Names of the styles; empty where the source knows none."""
    content_hash: str
    """SHA-256 over the index lines and the picture files: equal hashes are equal training data."""
    splits: dict[str, tuple[Record, ...]]
    preparation: dict[str, Any] = field(default_factory=dict)
    """Importer, options and the source's hash: preparing again from equal ones would change nothing."""

    def classified_by(self, attribute: str) -> "Dataset":
        """The dataset with the values of an attribute of its records in place of styles; "style" keeps the styles.

        Raises UserError where records lack it, or where it has fewer than 2 or more than 64 values.
        """
        if attribute == "style":
            if not self.styles:
                raise UserError(f"condition style: {self.root} has no styles")
            return self
        rows = [row for records in self.splits.values() for row in records]
        shared = set.intersection(*(set(row.attributes) for row in rows))
        if attribute not in shared:
            raise UserError(
                f"condition {attribute}: {self.root} does not give it for every image "
                f"(allowed: {', '.join(['style'] * bool(self.styles) + sorted(shared)) or 'none'})"
            )
        values = sorted({str(row.attributes[attribute]) for row in rows})
        if not 2 <= len(values) <= 64:
            raise UserError(f"condition {attribute}: has {len(values)} values in {self.root}, must be 2 to 64")
        numbers = {value: number for number, value in enumerate(values)}
        splits = {
            split: tuple(dataclasses.replace(row, style=numbers[str(row.attributes[attribute])]) for row in records)
            for split, records in self.splits.items()
        }
        return dataclasses.replace(self, styles=tuple(f"{attribute} {value}" for value in values), splits=splits)

    def split(self, name: str) -> tuple[Record, ...]:
        """The records of a split, sorted by id; a UserError that names the others where it has none."""
        records = self.splits.get(name, ())
        if not records:
            there = ", ".join(f"{split} ({len(rows)})" for split, rows in self.splits.items() if rows)
            allowed = f"it has {there}: give one of these as --split"
            more = f", or prepare it anew with a larger --{name}-fraction" if name in ("val", "test") else ""
            raise UserError(f"{self.root} has no pictures in split {name!r}; {allowed}{more}")
        return records


def write_dataset(
    root: Path, header: Mapping[str, Any], splits: Mapping[str, Sequence[Record]], rejected: Sequence[Mapping[str, str]]
) -> None:
    """Write the index files of the pictures that are already under `root`; dataset.json comes last.

    `header` holds the fields of `Dataset` that its caller knows: name, source, licence, size, fit, styles, preparation.
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

    Raises UserError: no dataset directory, a damaged index (with file and line), or pictures that are missing.
    """
    root = Path(path)
    if not (root / MANIFEST).is_file():
        raise UserError(f"{root} is not a prepared dataset (no {MANIFEST} in it): make one with {PREPARE}")
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
        raise UserError(f"{len(missing)} pictures of {root} are missing ({names}): delete it and run {PREPARE} again")
    return dataset


def _check(dataset: Dataset, counts: Mapping[str, int]) -> None:
    """Raise a ValueError that says what is wrong in an index that could be parsed."""
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
                raise TypeError("a field of another type")
            for name in record.files:
                place = PurePosixPath(name)
                if place.is_absolute() or ".." in place.parts or "\\" in name or ":" in name:
                    raise ValueError(f"path {name!r} leaves the dataset")
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path.name} line {number}: {error}") from error
        records.append(record)
    return tuple(sorted(records, key=_by_id))


def _by_id(record: Record) -> str:
    return record.id


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """JSON lines, UTF-8, one line feed each on every platform."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _content_hash(root: Path, splits: Mapping[str, Sequence[Record]]) -> str:
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update((root / f"{split}.jsonl").read_bytes() + split.encode() + b"\n")
        for record in sorted(splits[split], key=_by_id):
            for name in record.files:
                digest.update(hashlib.sha256((root / name).read_bytes()).digest())
    return digest.hexdigest()
