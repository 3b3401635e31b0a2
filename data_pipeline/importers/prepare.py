"""Prepare a collection: read, fit, split and write its images to one dataset directory, all or nothing."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import cv2

from limner.core.config import Fit, require
from limner.core.images import Uint8Image
from limner.core.util.errors import UserError
from limner.core.util.files import atomic_directory
from limner.core.util.machine import usable_cores
from limner.core.util.progress import track
from limner.data_pipeline.images import ImageError, fit_image, fit_pair
from limner.data_pipeline.importers import report
from limner.data_pipeline.importers.collection import NO_PARTNER, Collection, Item, Rejection, index_by_name
from limner.data_pipeline.importers.source import File
from limner.data_pipeline.index import MANIFEST, SPLITS, Record, load_dataset, write_dataset

Input = TypeVar("Input")
Output = TypeVar("Output")
Splits = dict[str, list[Record]]
Write = Callable[[Path], tuple[Splits, list[Rejection]]]

JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
"""4:4:4, so that thin coloured lines survive and every GPU decoder can read it."""
ASPECT_TOLERANCE = 0.02
"""Largest relative difference between the aspect ratios of a photo and its sketch; it is 0 in FS2K and CUHK."""


@dataclass(frozen=True)
class PrepareOptions:
    """How images are written and split; the same for all importers."""

    size: int = 286
    """Side of the written squares in pixels; 286 leaves room for random crops of 256."""
    fit: Fit = "stretch"
    """stretch: scale each side to the square; pad: keep the aspect ratio, fill with white; crop: the centre square."""
    format: Literal["jpeg", "png"] = "jpeg"
    """jpeg: 4:4:4, quality 95; png: lossless."""
    val_fraction: float = 0.05
    """Fraction of the training images that is held out for validation, the same of each style."""
    test_fraction: float = 0.0
    """Fraction that is held out for the final evaluation, if the source has no test split."""
    seed: int = 0
    """Decides which images are held out (and which portraits are generated, for synthetic ones)."""

    def __post_init__(self) -> None:
        require(16 <= self.size <= 4096, f"size {self.size}: must be 16 to 4096")
        for name in ("val_fraction", "test_fraction"):
            value = getattr(self, name)
            require(0.0 <= value < 1.0, f"{name.replace('_', '-')} {value}: must be in [0, 1)")
        require(self.val_fraction + self.test_fraction < 1.0, "val-fraction + test-fraction: must be under 1")


def prepare(collection: Collection, out: Path, options: PrepareOptions) -> None:
    """Write `collection` to the dataset directory `out`, whole or not at all, and print a summary.

    Does nothing if `out` was prepared from the same source with the same options.
    Raises UserError if `out` has any other content or lies within the source.
    """
    preparation = {
        "importer": collection.importer,
        **collection.options,
        **dataclasses.asdict(options),
        "source_sha256": _fingerprint(collection.files),
    }
    header = {
        "name": collection.name,
        "source": collection.source,
        "licence": collection.licence,
        "size": options.size,
        "fit": options.fit,
        "styles": collection.styles,
        "preparation": preparation,
    }
    splits = write_once(out, header, collection.folders, lambda root: _write_images(collection, root, options))
    if splits is not None:
        _warn(collection, splits, options)


def write_once(out: Path, header: Mapping[str, Any], folders: Iterable[Path], write: Write) -> Splits | None:
    """Write the dataset directory `out`, whole or not at all, and print a summary.

    header: see `write_dataset`; its field preparation says whether `out` holds the result already.
    folders: the source; `out` must not lie in it.
    write: writes the images under a directory; returns the records by split, and all rejections.
    Returns the records by split; None if there was nothing to do. Raises UserError as `prepare` does.
    """
    for folder in folders:
        inside = out.resolve().is_relative_to(folder.resolve())
        require(not inside, f"{out} lies within the source {folder}: choose an --out outside it")
    if _is_prepared(out, header["preparation"]):
        report.show_unchanged(out)
        return None
    try:
        with atomic_directory(out, replace=False) as tmp_path:
            splits, rejected = write(tmp_path)
            write_dataset(tmp_path, header, splits, [dataclasses.asdict(rejection) for rejection in rejected])
    except OSError:
        if not _is_prepared(out, header["preparation"]):
            raise
        report.show_unchanged(out)  # another process that prepares the same has finished first
        return None
    report.show_summary(out, splits, header["styles"], [rejection.reason for rejection in rejected])
    return splits


def _is_prepared(out: Path, preparation: Mapping[str, Any]) -> bool:
    """Return whether `out` holds the result; False if it is absent or empty, UserError if it holds anything else."""
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
        f"{out} was prepared from another source or with other options; changed: {what}. "
        f"Choose another --out, or delete {out} first"
    )


def map_in_threads(function: Callable[[Input], Output], inputs: Sequence[Input], what: str) -> list[Output]:
    """Apply `function` to all inputs in threads, with a progress display; stop at the first exception."""
    pool = ThreadPoolExecutor(max_workers=min(8, usable_cores()))
    try:
        return list(track(pool.map(function, inputs), len(inputs), what))
    finally:
        pool.shutdown(cancel_futures=True)


def _fingerprint(files: Sequence[File]) -> str:
    """Compute SHA-256 over the paths and bytes of the source's files."""

    def digest(file: File) -> bytes:
        try:
            return hashlib.sha256(file.read()).digest()
        except ImageError as error:  # the file will be rejected for it
            return str(error).encode()

    total = hashlib.sha256()
    for file, part in zip(files, map_in_threads(digest, files, "reading"), strict=True):
        total.update(f"{file.path}\n".encode() + part)
    return total.hexdigest()


def _write_images(collection: Collection, root: Path, options: PrepareOptions) -> tuple[Splits, list[Rejection]]:
    """Write the images under `root`; return the records by split, and all rejections."""
    for name in ("photo", "sketch"):
        (root / name).mkdir()
    items, duplicates = index_by_name(collection.items, lambda item: item.id)
    rejected = [*collection.rejected, *duplicates]
    records = []
    for result in map_in_threads(lambda item: _write_item(item, root, options), list(items.values()), "preparing"):
        if isinstance(result, Record):
            records.append(result)
        else:
            rejected += result
    if not records:
        reasons = ", ".join(sorted({rejection.reason for rejection in rejected})) or "no files"
        raise UserError(f"{collection.name} holds no usable image ({len(rejected)} rejected: {reasons})")
    splits = split_records(records, collection.test_ids, options)
    return splits, sorted(rejected, key=lambda rejection: (rejection.file, rejection.reason))


def _write_item(item: Item, root: Path, options: PrepareOptions) -> Record | list[Rejection]:
    """Load, fit and write one item; return the rejections of its files if it cannot be used."""
    try:
        photo, sketch = item.load()
        if sketch is None:
            squares = [fit_image(photo, options.size, options.fit)[0]]
        else:
            _check_aspect(photo, sketch)
            squares = list(fit_pair(photo, sketch, options.size, options.fit))
    except ImageError as error:
        return [
            Rejection(file, error.reason, error.detail)
            if error.file in (None, file)
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
        raise ImageError("partner of another aspect", f"{width}x{height} and {sketch_width}x{sketch_height}")


def split_records(records: Iterable[Record], test_ids: set[str], options: PrepareOptions) -> Splits:
    """Split records into train, val and test.

    test_ids: the source's official test split; if it is empty, test-fraction of each style is test. Of the other
    records, val-fraction of each style is val. Within a style the order is that of a hash of seed and id, so that it
    does not depend on the platform or on other images.
    """
    splits: Splits = {split: [] for split in SPLITS}
    styles: dict[int, list[Record]] = {}
    for record in records:
        (splits["test"] if record.id in test_ids else styles.setdefault(record.style, [])).append(record)
    for group in styles.values():
        group.sort(key=lambda record: hashlib.sha256(f"{options.seed}:{record.id}".encode()).digest())
        test_end = 0 if test_ids else _part_of(len(group), options.test_fraction)
        val_end = test_end + _part_of(len(group), options.val_fraction)
        splits["test"] += group[:test_end]
        splits["val"] += group[test_end:val_end]
        splits["train"] += group[val_end:]
    return splits


def _part_of(count: int, fraction: float) -> int:
    """Return `fraction` of `count`, halves rounded up."""
    return int(count * fraction + 0.5)


def _warn(collection: Collection, splits: Mapping[str, Sequence[Record]], options: PrepareOptions) -> None:
    """Warn of an option that is ignored, and of empty splits that the user or the source asked for."""
    has_test = bool(collection.test_ids)
    if options.test_fraction and has_test:
        report.warn(f"{collection.name} has its own test split: test-fraction is ignored")
    expected = {"train": True}
    if not collection.generated:
        expected |= {"val": options.val_fraction > 0.0, "test": options.test_fraction > 0.0 or has_test}
    for split, records in splits.items():
        if expected.get(split) and not records:
            report.warn(f"the {split} split is empty")
