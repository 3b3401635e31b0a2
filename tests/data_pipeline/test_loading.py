"""What both loaders promise, each of DALI's known traps among it. The names say which."""

import logging
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from limner.core.batch import Batch
from limner.core.config import AugmentConfig, LoaderKind
from limner.core.util.errors import UserError
from limner.data_pipeline.index import Record
from limner.data_pipeline.loading import SampleStream, open_loader

MakeStream = Callable[..., SampleStream]
Records = tuple[Record, ...]
Textured = Callable[[int, int], Records]

try:
    import limner.data_pipeline.dali  # noqa: F401

    HAS_DALI = True
except ImportError:
    HAS_DALI = False
NEEDS_DALI = pytest.mark.skipif(not HAS_DALI, reason="DALI cannot be imported")
EVERYTHING = AugmentConfig(load_size=18, rotate_degrees=20.0, shift=0.1, scale=0.2, colour=0.3)


@pytest.fixture(params=["reference", pytest.param("dali", marks=NEEDS_DALI)])
def kind(request: pytest.FixtureRequest) -> LoaderKind:
    chosen: LoaderKind = request.param
    return chosen


def take(kind: LoaderKind, stream: SampleStream, count: int) -> list[Batch]:
    return list(islice(open_loader(kind, stream), count))


def assert_equal(one: Batch, other: Batch) -> None:
    """Bit for bit."""
    assert torch.equal(one.photo, other.photo)
    assert (one.sketch is None) == (other.sketch is None)
    assert one.sketch is None or other.sketch is None or torch.equal(one.sketch, other.sketch)
    assert torch.equal(one.style, other.style)
    assert torch.equal(one.position, other.position)


def join(batches: list[Batch]) -> Batch:
    sketches = [batch.sketch for batch in batches if batch.sketch is not None]
    return Batch(
        torch.cat([batch.photo for batch in batches]),
        torch.cat(sketches) if sketches else None,
        torch.cat([batch.style for batch in batches]),
        torch.cat([batch.position for batch in batches]),
    )


def tags(images: torch.Tensor | None) -> list[int]:
    """What the pixels of `tagged` images say, all of one image alike."""
    assert images is not None
    pixels = ((images + 1) * 127.5 / 5).round().long()
    assert torch.equal(pixels.amin((1, 2, 3)), pixels.amax((1, 2, 3)))
    return pixels[:, 0, 0, 0].tolist()


def test_a_batch_is_what_the_contract_says(kind: LoaderKind, make_stream: MakeStream, textured: Textured) -> None:
    (batch,) = take(kind, make_stream(textured(5, 18), batch_size=3), 1)
    for images in (batch.photo, batch.sketch):
        assert images is not None
        assert images.shape == (3, 3, 16, 16)
        assert images.dtype == torch.float32
        assert images.is_contiguous()
        assert -1 <= images.min() < -0.5
        assert 0.5 < images.max() <= 1
    assert batch.style.dtype == batch.position.dtype == torch.int64
    assert batch.position.tolist() == [0, 1, 2]


def test_pairs_never_drift_apart_and_labels_follow_the_shuffle(
    kind: LoaderKind, make_stream: MakeStream, tagged: Records
) -> None:
    stream = make_stream(tagged, batch_size=4)
    for batch in take(kind, stream, 4 * 23 // 4):
        numbers = [int(stream.record_at(position).id) for position in batch.position.tolist()]
        assert tags(batch.photo) == [2 * number for number in numbers]
        assert tags(batch.sketch) == [2 * number + 1 for number in numbers]
        assert batch.style.tolist() == [number % 3 for number in numbers]


def test_every_image_comes_equally_often_without_padding(
    kind: LoaderKind, make_stream: MakeStream, tagged: Records
) -> None:
    """23 images, 3 ranks, batches of 4: 12 global batches of 12 end six epochs; 138 images are counted."""
    ranks = [take(kind, make_stream(tagged, batch_size=4, world_size=3, rank=rank), 12) for rank in range(3)]
    every = join([batch for batches in ranks for batch in batches])
    counted = every.position < 6 * 23
    assert Counter(tags(every.photo[counted])) == {2 * number: 6 for number in range(23)}


def test_no_batch_is_smaller_and_ranks_have_as_many(kind: LoaderKind, make_stream: MakeStream, tagged: Records) -> None:
    """DROP loses images and PARTIAL changes shapes; here an epoch's last batch is filled from the next epoch."""
    for rank in range(2):
        batches = take(kind, make_stream(tagged, batch_size=4, world_size=2, rank=rank), 10)
        assert [len(batch) for batch in batches] == [4] * 10


def test_each_epoch_has_a_new_order(kind: LoaderKind, make_stream: MakeStream, tagged: Records) -> None:
    order = [tags(batch.photo)[0] for batch in take(kind, make_stream(tagged), 2 * 23)]
    first, second = order[:23], order[23:]
    assert sorted(first) == sorted(second)
    assert first != second
    assert first != sorted(first)


def test_equal_seeds_give_equal_runs_whatever_other_generators_do(
    kind: LoaderKind, make_stream: MakeStream, textured: Textured
) -> None:
    """A pipeline function with an argument `seed` hides DALI's own: two runs with one seed differ."""
    records = textured(5, 18)

    def run(seed: int, elsewhere: int) -> Batch:
        random.seed(elsewhere)
        np.random.seed(elsewhere)  # noqa: NPY002 (it must not matter)
        torch.manual_seed(elsewhere)
        return join(take(kind, make_stream(records, seed=seed, augment=EVERYTHING), 8))

    assert_equal(run(9, elsewhere=1), run(9, elsewhere=2))
    assert not torch.equal(run(9, elsewhere=1).photo, run(10, elsewhere=1).photo)


def test_threads_change_no_bit(kind: LoaderKind, make_stream: MakeStream, textured: Textured) -> None:
    records = textured(5, 18)
    one, three = (
        join(take(kind, make_stream(records, batch_size=4, augment=EVERYTHING, threads=threads), 3))
        for threads in (1, 3)
    )
    assert_equal(one, three)


@pytest.mark.parametrize("cache", [False, True])
def test_resume_at_every_position_of_an_epoch_is_exact(
    kind: LoaderKind, make_stream: MakeStream, textured: Textured, cache: bool
) -> None:
    records = textured(7, 18)
    straight = join(take(kind, make_stream(records, augment=EVERYTHING), 12))
    for start in range(9):
        resumed = join(take(kind, make_stream(records, augment=EVERYTHING, start=start, cache=cache, batch_size=3), 1))
        assert_equal(resumed, Batch(*(getattr(straight, name)[start : start + 3] for name in straight.__annotations__)))


def test_two_ranks_with_half_the_batch_are_one(kind: LoaderKind, make_stream: MakeStream, textured: Textured) -> None:
    records = textured(5, 18)
    alone = take(kind, make_stream(records, augment=EVERYTHING, batch_size=4), 4)
    ranks = [
        take(kind, make_stream(records, augment=EVERYTHING, batch_size=2, world_size=2, rank=rank), 4)
        for rank in (0, 1)
    ]
    for whole, *halves in zip(alone, *ranks, strict=True):
        assert_equal(whole, join(halves))


def test_another_world_size_repeats_and_loses_nothing(
    kind: LoaderKind, make_stream: MakeStream, tagged: Records
) -> None:
    """A DALI checkpoint of 3 shards loads into 2 without an error and gives a wrong epoch; a position cannot."""
    before = [take(kind, make_stream(tagged, batch_size=2, world_size=3, rank=rank), 2) for rank in range(3)]
    after = [take(kind, make_stream(tagged, batch_size=1, world_size=2, rank=rank, start=12), 17) for rank in range(2)]
    every = join([batch for batches in before + after for batch in batches])
    assert sorted(every.position.tolist()) == list(range(2 * 23))
    assert Counter(tags(every.photo)) == {2 * number: 2 for number in range(23)}


def test_iter_neither_resets_nor_ends_at_the_epoch_boundary(
    kind: LoaderKind, make_stream: MakeStream, tagged: Records
) -> None:
    loader: Iterator[Batch] = open_loader(kind, make_stream(tagged))
    positions = [next(iter(loader)).position.item() for _ in range(2 * 23 + 5)]
    assert positions == list(range(2 * 23 + 5))


def test_a_batch_stays_as_it_is_while_others_are_made(
    kind: LoaderKind, make_stream: MakeStream, textured: Textured
) -> None:
    loader = open_loader(kind, make_stream(textured(7, 18), batch_size=2))
    held = [next(loader) for _ in range(3)]
    copies = [Batch(*(getattr(batch, name).clone() for name in batch.__annotations__)) for batch in held]
    for _ in range(15):
        next(loader)
    for batch, copy in zip(held, copies, strict=True):
        assert_equal(batch, copy)
    held[0].photo.zero_()  # and what the step does to it harms no later batch
    assert next(loader).photo.abs().mean() > 0.05


@pytest.mark.parametrize("load_size", [18, 20])
def test_the_cache_changes_no_bit(
    kind: LoaderKind, make_stream: MakeStream, textured: Textured, load_size: int
) -> None:
    records = textured(5, 18)
    augment = AugmentConfig(load_size=load_size, rotate_degrees=20.0, colour=0.3)
    fields = {"augment": augment, "batch_size": 4}
    plain, cached = (join(take(kind, make_stream(records, cache=cache, **fields), 6)) for cache in (False, True))
    assert_equal(plain, cached)


def test_cached_images_are_read_once(
    kind: LoaderKind, make_stream: MakeStream, tagged: Records, tmp_path: Path
) -> None:
    loader = open_loader(kind, make_stream(tagged, cache=True))
    for _ in range(23):
        next(loader)
    for record in tagged:
        for name in record.files:
            (tmp_path / name).unlink()
    assert sorted(tags(join(list(islice(loader, 23))).photo)) == [2 * number for number in range(23)]


def test_unpaired_images_have_no_sketch_and_the_same_photos(
    kind: LoaderKind, make_stream: MakeStream, textured: Textured
) -> None:
    records = textured(5, 18)
    pairs = join(take(kind, make_stream(records), 6))
    alone = join(take(kind, make_stream(tuple(Record(r.id, r.photo, None, r.style) for r in records), paired=False), 6))
    assert alone.sketch is None
    assert torch.equal(alone.photo, pairs.photo)
    assert torch.equal(alone.style, pairs.style)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (None, "missing"),
        (lambda data: b"", "empty"),
        (lambda data: b"GIF89a" + data, "not a JPEG or PNG image"),
        (lambda data: data[: len(data) // 2], "truncated"),
        (lambda data: data[:2] + bytes(len(data) - 4) + data[-2:], "damaged"),
    ],
)
@pytest.mark.parametrize("cache", [False, True])
def test_an_unusable_image_is_named(
    kind: LoaderKind,
    make_stream: MakeStream,
    textured: Textured,
    tmp_path: Path,
    change: Callable[[bytes], bytes] | None,
    what: str,
    cache: bool,
) -> None:
    stream = make_stream(textured(4, 18), cache=cache, seed=3)
    path = tmp_path / stream.record_at(3).photo
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError) as error:
        take(kind, stream, 4)
    assert str(error.value) == f"{path} is {what}: delete {tmp_path} and run limner prepare again"


@NEEDS_DALI
def test_auto_takes_dali_and_logs_it(
    make_stream: MakeStream, tagged: Records, caplog: pytest.LogCaptureFixture
) -> None:
    stream = make_stream(tagged)
    with caplog.at_level(logging.INFO, logger="limner"):
        batch = next(open_loader("auto", stream))
    assert caplog.messages == ["loader: DALI"]
    assert_equal(batch, take("dali", stream, 1)[0])


def test_auto_without_dali_takes_the_reference_and_logs_it(
    make_stream: MakeStream, tagged: Records, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "limner.data_pipeline.dali", None)
    with caplog.at_level(logging.INFO, logger="limner"):
        next(open_loader("auto", make_stream(tagged)))
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("loader: reference (DALI cannot be imported: ")


def test_dali_that_cannot_be_imported_is_the_users_choice(
    make_stream: MakeStream, tagged: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "limner.data_pipeline.dali", None)
    with pytest.raises(UserError, match=r"loader dali: DALI cannot be imported \(.*\): use --loader reference"):
        open_loader("dali", make_stream(tagged))
