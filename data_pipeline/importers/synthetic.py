"""The built-in data: drawn portraits with exact sketches, written as a dataset directory."""

from functools import partial
from pathlib import Path

from limner.core.config import require
from limner.data_pipeline.importers.collection import Collection, Item
from limner.data_pipeline.importers.prepare import PrepareOptions, prepare
from limner.data_pipeline.importers.source import File
from limner.data_pipeline.synthetic import describe, draw_pair

STYLES = ("outline", "hatched", "soft")
"""The pencils of the drawings, by number."""


def import_synthetic(count: int, out: Path, options: PrepareOptions) -> None:
    """Draw and prepare `count` pairs, the same for the same seed."""
    require(1 <= count <= 1_000_000, f"count {count}: must be 1 to 1000000")
    collection = Collection(
        importer="synthetic",
        name="drawn portraits",
        source="drawn by Limner",
        licence="MIT",
        files=(File("first-pair", partial(_first_pair, options)),),
        items=tuple(_item(index, options) for index in range(count)),
        styles=STYLES,
        options={"count": count},
    )
    prepare(collection, out, options)


def _item(index: int, options: PrepareOptions) -> Item:
    portrait = describe(options.seed, index)
    return Item(
        id=f"portrait-{index:06}",
        files=(f"portrait-{index:06}",),
        pictures=partial(draw_pair, options.seed, index, options.size),
        style=portrait.style,
        attributes={"hair": portrait.hair, "beard": portrait.beard, "glasses": portrait.glasses},
    )


def _first_pair(options: PrepareOptions) -> bytes:
    """The bytes of one drawing, which stand for the drawing code: data drawn by other code are not taken for done."""
    return b"".join(picture.tobytes() for picture in draw_pair(options.seed, 0, options.size))
