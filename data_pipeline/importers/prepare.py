"""What an importer found -> one dataset directory: read, fit, split, write, reject; all or nothing."""

import dataclasses
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2

from limner.core.config import Fit, require
from limner.core.images import Uint8Image
from limner.core.util.errors import UserError
from limner.core.util.progress import track
from limner.data_pipeline.images import PictureError, fit_pair, fit_picture
from limner.data_pipeline.importers import report
from limner.data_pipeline.importers.collection import NO_PARTNER, Collection, Item, Rejection, by_name
from limner.data_pipeline.importers.source import File
from limner.data_pipeline.index import MANIFEST, SPLITS, Record, load_dataset, write_dataset

JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
"""4:4:4, so that thin coloured lines survive and GPU decoders find what they like best."""
ASPECT_TOLERANCE = 0.02
"""Largest relative difference between the aspects of a photo and its sketch; none differ in FS2K and CUHK."""


@dataclass(frozen=True)
class PrepareOptions:
    """How pictures are written and shared out; the same for all importers."""

    size: int = 286
    """Side of the written squares in pixels; 286 leaves room for random crops of 256."""
    fit: Fit = "stretch"
    """stretch: scale both sides apart; pad: keep the aspect, fill with white; crop: the middle square."""
    format: Literal["jpeg", "png"] = "jpeg"
    """jpeg: 4:4:4, quality 95; png: without loss."""
    val_fraction: float = 0.05
    """Share of the training pictures that is held out to watch the training, the same of each style."""
    test_fraction: float = 0.0
    """Share that is held out for the final evaluation, where the source has no test part of its own."""
    seed: int = 0
    """Decides which pictures are held out (and what is drawn, for drawn portraits)."""

    def __post_init__(self) -> None:
        require(16 <= self.size <= 4096, f"size {self.size}: must be 16 to 4096")
        for name in ("val_fraction", "test_fraction"):
            value = getattr(self, name)
            require(0.0 <= value < 1.0, f"{name.replace('_', '-')} {value}: must be in [0, 1)")
        require(self.val_fraction + self.test_fraction < 1.0, "val-fraction + test-fraction: must be under 1")


def prepare(collection: Collection, out: Path, options: PrepareOptions) -> None:
    """Write `collection` to the dataset directory `out` and show a summary.

    Nothing to do where `out` was made from the same source and options; a UserError where it is anything else. The work
    is done aside and renamed at the end, so that an interrupted one leaves no `out`.
    """
    for folder in collection.folders:
        inside = out.resolve().is_relative_to(folder.resolve())
        require(not inside, f"{out} lies within the source {folder}: choose an --out beside it")
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        preparation = {
            "importer": collection.importer,
            **collection.options,
            **dataclasses.asdict(options),
            "source_sha256": _fingerprint(pool, collection.files),
        }
        if _is_done(out, preparation):
            print(f"{out} is already prepared from this source with these options: nothing to do")
            return
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.partial"
        try:
            splits, rejected = _fill(pool, collection, aside, options)
            header = {
                "name": collection.name,
                "source": collection.source,
                "licence": collection.licence,
                "size": options.size,
                "fit": options.fit,
                "styles": collection.styles,
                "preparation": preparation,
            }
            write_dataset(aside, header, splits, [dataclasses.asdict(rejection) for rejection in rejected])
            try:
                if out.is_dir():
                    out.rmdir()  # empty, or _is_done had refused it; Windows renames over no directory
                aside.rename(out)
            except OSError:
                if not _is_done(out, preparation):  # a process that prepares the same was quicker
                    raise
        finally:
            pool.shutdown(cancel_futures=True)
            shutil.rmtree(aside, ignore_errors=True)
    report.show_summary(out, splits, collection.styles, [rejection.reason for rejection in rejected])


def _is_done(out: Path, preparation: dict[str, Any]) -> bool:
    """Whether `out` holds the result already; False where it is free; else a UserError."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / MANIFEST).is_file():
        raise UserError(f"{out} exists and is not a prepared dataset: choose another --out, nothing was changed")
    before = load_dataset(out).preparation
    changed = [key for key in preparation.keys() | before.keys() if preparation.get(key) != before.get(key)]
    if not changed:
        return True
    what = ", ".join(
        "the source's files" if key == "source_sha256" else f"{key} ({before.get(key)}, now {preparation.get(key)})"
        for key in sorted(changed)
    )
    raise UserError(
        f"{out} was prepared from something else; changed: {what}. Choose another --out, or delete {out} first"
    )


def _fingerprint(pool: ThreadPoolExecutor, files: Sequence[File]) -> str:
    """SHA-256 over the paths and bytes of the source's files."""

    def digest(file: File) -> bytes:
        try:
            return hashlib.sha256(file.read()).digest()
        except PictureError as error:  # will be rejected for it
            return str(error).encode()

    total = hashlib.sha256()
    for file, part in zip(files, track(pool.map(digest, files), len(files), "reading"), strict=True):
        total.update(f"{file.path}\n".encode() + part)
    return total.hexdigest()


def _fill(
    pool: ThreadPoolExecutor, collection: Collection, root: Path, options: PrepareOptions
) -> tuple[dict[str, list[Record]], list[Rejection]]:
    """Write the pictures under `root`; return the records by split, and all rejections."""
    for name in ("photo", "sketch"):
        (root / name).mkdir(parents=True)
    items, duplicates = by_name(collection.items, lambda item: item.id)
    rejected = [*collection.rejected, *duplicates]
    records = []
    results = pool.map(lambda item: _write(item, root, options), items.values())
    for result in track(results, len(items), "preparing"):
        if isinstance(result, Record):
            records.append(result)
        else:
            rejected += result
    if not records:
        reasons = ", ".join(sorted({rejection.reason for rejection in rejected})) or "no files"
        raise UserError(f"{collection.name} holds no usable picture ({len(rejected)} rejected: {reasons})")
    if options.test_fraction and any(item.test for item in collection.items):
        report.warn(f"{collection.name} has a test part of its own: test-fraction is ignored")
    splits = split_records(records, {item.id for item in collection.items if item.test}, options)
    return splits, sorted(rejected, key=lambda rejection: (rejection.file, rejection.reason))


def _write(item: Item, root: Path, options: PrepareOptions) -> Record | list[Rejection]:
    """Read, fit and write one item; its files' rejections where it cannot be used."""
    try:
        photo, sketch = item.pictures()
        if sketch is None:
            squares = [fit_picture(photo, options.size, options.fit)[0]]
        else:
            _check_aspect(photo, sketch)
            squares = list(fit_pair(photo, sketch, options.size, options.fit))
    except PictureError as error:
        return [
            Rejection(file, error.reason, error.detail)
            if error.file in ("", file)
            else Rejection(file, NO_PARTNER, f"its partner is not usable: {error}")
            for file in item.files
        ]
    suffix, parameters = (".jpg", JPEG) if options.format == "jpeg" else (".png", ())
    names = [f"{folder}/{item.id}{suffix}" for folder in ("photo", "sketch")[: len(squares)]]
    for name, square in zip(names, squares, strict=True):
        _, data = cv2.imencode(suffix, square[..., ::-1], parameters)
        (root / name).write_bytes(data.tobytes())
    return Record(item.id, names[0], names[1] if sketch is not None else None, item.style, item.attributes)


def _check_aspect(photo: Uint8Image, sketch: Uint8Image) -> None:
    (height, width), (sketch_height, sketch_width) = photo.shape[:2], sketch.shape[:2]
    if abs((width * sketch_height) / (height * sketch_width) - 1) > ASPECT_TOLERANCE:
        raise PictureError("partner of another aspect", f"{width}x{height} and {sketch_width}x{sketch_height}")


def split_records(records: Iterable[Record], test: set[str], options: PrepareOptions) -> dict[str, list[Record]]:
    """Share records out to train, val and test.

    The ids in `test` are test; where there are none, test-fraction of each style is. Of what is not in the source's own
    test part, val-fraction of each style is val. Within a style the order is that of a hash of seed and id: it depends
    on no platform and on no other picture.
    """
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    styles: dict[int, list[Record]] = {}
    for record in records:
        (splits["test"] if record.id in test else styles.setdefault(record.style, [])).append(record)
    for group in styles.values():
        group.sort(key=lambda record: hashlib.sha256(f"{options.seed}:{record.id}".encode()).digest())
        tested = 0 if test else _share(len(group), options.test_fraction)
        held_out = tested + _share(len(group), options.val_fraction)
        splits["test"] += group[:tested]
        splits["val"] += group[tested:held_out]
        splits["train"] += group[held_out:]
    return splits


def _share(count: int, fraction: float) -> int:
    """`fraction` of `count`, halves rounded up."""
    return int(count * fraction + 0.5)
