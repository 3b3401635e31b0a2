"""The built-in data: synthetic portraits with exact sketches, written as a dataset directory."""

from functools import partial
from pathlib import Path

from limner.core.config import require
from limner.data_pipeline.importers.collection import Collection, Item
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare, split_records
from limner.data_pipeline.importers.source import File
from limner.data_pipeline.index import MANIFEST, Dataset, Record, load_dataset
from limner.data_pipeline.synthetic import render_pair, sample_portrait

STYLES = ("outline", "hatched", "soft")
"""Names of the pencil styles, by number."""
BUILT_IN_COUNT = 400
"""Training and validation pairs of the built-in dataset."""
BUILT_IN_TEST_COUNT = 20
"""Test pairs of the built-in dataset."""


def import_synthetic(count: int, out: Path, options: PrepareOptions) -> None:
    """Generate and prepare `count` pairs, the same for the same seed.

    Args:
        count: number of pairs, 1 to 1000000.
        out: the dataset directory to write.
    """
    require(1 <= count <= 1_000_000, f"count {count}: must be 1 to 1000000")
    prepare(_collect(count, 0, options), out, options)


def prepare_built_in(out: Path, size: int) -> None:
    """Generate the dataset for training without data of one's own, with a test split; nothing to do if it exists.

    Its train and val splits equal those of `import_synthetic`. A dataset from before there was a test split is kept as
    it is, so that its runs can be resumed.
    size: side of the images in pixels.
    """
    options = PrepareOptions(size=size)
    predates_test = (out / MANIFEST).is_file() and not load_dataset(out).splits["test"]
    prepare(_collect(BUILT_IN_COUNT, 0 if predates_test else BUILT_IN_TEST_COUNT, options), out, options)


def plan_built_in(out: Path, size: int) -> Dataset:
    """Describe the dataset that `prepare_built_in` would write to `out`, without its images and their hash."""
    options = PrepareOptions(size=size)
    collection = _collect(BUILT_IN_COUNT, BUILT_IN_TEST_COUNT, options)
    records = [
        Record(item.id, f"photo/{item.id}.jpg", f"sketch/{item.id}.jpg", item.style, item.attributes)
        for item in collection.items
    ]
    splits = split_records(records, collection.test_ids, options)
    return Dataset(
        root=out,
        name=collection.name,
        source=collection.source,
        licence=collection.licence,
        size=size,
        fit=options.fit,
        styles=collection.styles,
        content_hash="",
        splits={name: tuple(sorted(rows, key=lambda record: record.id)) for name, rows in splits.items()},
    )


def _collect(count: int, test_count: int, options: PrepareOptions) -> Collection:
    """Collect `count` pairs and, numbered after them, `test_count` pairs of an official test split."""
    return Collection(
        importer="synthetic",
        name="drawn portraits",
        source="drawn by Limner",
        licence="MIT",
        files=(File("first-pair", partial(_render_first, options)),),
        items=tuple(_item(index, index >= count, options) for index in range(count + test_count)),
        styles=STYLES,
        options={"count": count} | ({"test_count": test_count} if test_count else {}),
        generated=True,
    )


def _item(index: int, test: bool, options: PrepareOptions) -> Item:
    portrait = sample_portrait(options.seed, index)
    return Item(
        id=f"portrait-{index:06}",
        files=(f"portrait-{index:06}",),
        load=partial(render_pair, options.seed, index, options.size),
        style=portrait.style,
        attributes={"hair": portrait.hair, "beard": portrait.beard, "glasses": portrait.glasses},
        test=test,
    )


def _render_first(options: PrepareOptions) -> bytes:
    """Render one pair as a fingerprint of the rendering code, so that data from other code is not reused."""
    return b"".join(image.tobytes() for image in render_pair(options.seed, 0, options.size))
