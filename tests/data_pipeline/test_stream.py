"""The stream of samples: every epoch whole, no rank favoured, every random number a function of seed and position."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest

from limner.core.config import AugmentConfig
from limner.core.util.errors import UserError
from limner.data_pipeline.index import Record
from limner.data_pipeline.stream import (
    Augmentation,
    SampleStream,
    check_global_batch,
    epoch_of,
    permutation,
    sample_augmentation,
    steps_to_finish,
)

RECORDS = tuple(Record(str(number), f"{number}.png", f"{number}_s.png") for number in range(23))
MakeStream = Callable[..., SampleStream]
EVERYTHING = AugmentConfig(rotate_degrees=20.0, shift=0.1, scale=0.2, colour=0.3)


@pytest.mark.parametrize("count", [1, 2, 23, 1000])
def test_an_epoch_holds_every_image_once(count: int) -> None:
    for epoch in (0, 1, 10**12):
        assert sorted(permutation(0, epoch, count)) == list(range(count))


def test_epochs_and_seeds_have_orders_that_differ() -> None:
    orders = {tuple(permutation(seed, epoch, 23)) for seed in range(5) for epoch in range(20)}
    assert len(orders) == 100


def test_the_order_is_the_same_in_every_version_and_on_every_platform() -> None:
    assert permutation(7, 3, 10).tolist() == [0, 2, 7, 6, 4, 1, 8, 9, 5, 3]
    change = sample_augmentation(AugmentConfig(), 256, 7, 3)
    assert (change.load_size, change.x, change.y, change.mirror) == (286, 4, 12, True)


def test_a_cached_order_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        permutation(0, 0, 5)[0] = 1


def test_shuffling_reaches_over_the_whole_set_and_not_a_local_buffer() -> None:
    """A uniform permutation moves an image by a third of the set on average; a buffer moves it by the buffer's size."""
    count = 3000
    orders = [permutation(0, epoch, count) for epoch in range(5)]
    places = [np.argsort(order) for order in orders]
    for before, after in zip([np.arange(count), *places], places, strict=False):
        assert np.abs(before - after).mean() == pytest.approx(count / 3, rel=0.05)


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_no_sample_is_favoured_or_lost_by_padding(make_stream: MakeStream, world_size: int, batch_size: int) -> None:
    epochs = 6
    steps = steps_to_finish(0, epochs, len(RECORDS), batch_size * world_size)
    ranks = [
        make_stream(RECORDS, batch_size=batch_size, world_size=world_size, rank=rank) for rank in range(world_size)
    ]
    seen = [position for stream in ranks for batch in islice(stream.batches(), steps) for position in batch]
    assert sorted(seen) == list(range(steps * batch_size * world_size))  # nothing twice, no gap
    times = Counter(ranks[0].record_at(position).id for position in seen if position < epochs * len(RECORDS))
    assert times == {record.id: epochs for record in RECORDS}


def test_small_shards_lose_no_image(make_stream: MakeStream) -> None:
    """23 images on 3 ranks in batches of 4: dropping the remainder would show 12 images an epoch."""
    steps = steps_to_finish(0, 1, 23, 12)
    ranks = [make_stream(RECORDS, batch_size=4, world_size=3, rank=rank) for rank in range(3)]
    seen = [position for stream in ranks for batch in islice(stream.batches(), steps) for position in batch]
    assert {ranks[0].record_at(position).id for position in seen} == {record.id for record in RECORDS}
    assert steps == 2


def test_another_world_size_resumes_where_the_run_was(make_stream: MakeStream) -> None:
    def run(start: int, world_size: int, steps: int) -> list[int]:
        ranks = [
            make_stream(RECORDS, batch_size=2, world_size=world_size, rank=rank, start=start)
            for rank in range(world_size)
        ]
        return sorted(position for stream in ranks for batch in islice(stream.batches(), steps) for position in batch)

    before = run(0, world_size=3, steps=5)
    after = run(len(before), world_size=2, steps=20)
    assert before + after == list(range(30 + 80))


def test_steps_to_finish_agrees_with_counting() -> None:
    for start in (0, 5, 46, 47, 100):
        for global_batch in (1, 4, 12, 23):
            position, steps = start, 0
            while position < 2 * 23:
                position, steps = position + global_batch, steps + 1
            assert steps_to_finish(start, 2, 23, global_batch) == steps


def test_epochs_are_counted_from_0() -> None:
    assert [epoch_of(position, 23) for position in (0, 22, 23, 46)] == [0, 0, 1, 2]


def test_a_global_batch_over_the_split_is_refused(make_stream: MakeStream) -> None:
    make_stream(RECORDS, batch_size=23)
    expected = (
        "batch size 8 on 3 workers asks for 24 images at once, the split has 23: "
        "use a smaller --batch-size or fewer --workers"
    )
    with pytest.raises(UserError) as error:
        make_stream(RECORDS, batch_size=8, world_size=3)
    assert str(error.value) == expected


def test_accumulated_batches_count_too_and_are_named() -> None:
    check_global_batch(4, 2, 24, accumulate=3)
    expected = (
        "batch size 4 x accumulate 3 on 2 workers asks for 24 images at once, the split has 23: "
        "use a smaller --batch-size, a smaller --accumulate or fewer --workers"
    )
    with pytest.raises(UserError) as error:
        check_global_batch(4, 2, 23, accumulate=3)
    assert str(error.value) == expected


def test_pairs_of_unpaired_images_are_refused(make_stream: MakeStream) -> None:
    lonely = (*RECORDS[:2], Record("2", "2.png", None))
    make_stream(lonely, paired=False)
    with pytest.raises(UserError, match="has images without sketches: give a dataset that was prepared from pairs"):
        make_stream(lonely)


def augmentations(config: AugmentConfig, count: int = 2000, seed: int = 0) -> list[Augmentation]:
    return [sample_augmentation(config, 256, seed, position) for position in range(count)]


def test_augmentations_cover_their_ranges() -> None:
    changes = augmentations(EVERYTHING)
    assert {change.x for change in changes} == {change.y for change in changes} == set(range(31))
    assert {change.load_size for change in changes} == {286}
    assert np.mean([change.mirror for change in changes]) == pytest.approx(0.5, abs=0.05)
    for name, middle, reach in (
        ("angle", 0, 20),
        ("scale", 1, 0.2),
        ("shift_x", 0, 28.6),
        ("shift_y", 0, 28.6),
        ("brightness", 1, 0.3),
        ("contrast", 1, 0.3),
        ("saturation", 1, 0.3),
    ):
        values = np.array([getattr(change, name) for change in changes])
        assert np.abs(values - middle).max() <= reach, name
        assert values.std() == pytest.approx(reach / 3**0.5, rel=0.05), name
    table = [[change.x, change.y, change.mirror, change.angle, change.scale, change.brightness] for change in changes]
    correlation = np.corrcoef(np.array(table, float).T) - np.eye(6)
    assert np.abs(correlation).max() < 0.1


def test_turning_an_option_on_does_not_change_the_others() -> None:
    for plain, full in zip(augmentations(AugmentConfig(flip=False), 50), augmentations(EVERYTHING, 50), strict=True):
        assert (plain.x, plain.y) == (full.x, full.y)
        assert not plain.mirror
        np.testing.assert_array_equal(plain.warp(), np.eye(2, 3))
        np.testing.assert_allclose(plain.colour(), np.eye(3, 4), atol=1e-12)


def test_seeds_give_different_augmentations() -> None:
    assert augmentations(EVERYTHING, 20, seed=1) != augmentations(EVERYTHING, 20, seed=2)
    assert augmentations(EVERYTHING, 20, seed=1) == augmentations(EVERYTHING, 20, seed=1)


def test_shuffling_and_augmentation_are_independent_under_one_seed() -> None:
    """From shared numbers image 0 would come before image 1 in the order of epoch n whenever x < y at position n."""
    wide = [sample_augmentation(AugmentConfig(load_size=10_000), 64, 0, number) for number in range(1000)]
    orders = [permutation(0, number, 10).tolist() for number in range(1000)]
    agreed = [
        (change.x < change.y) == (order.index(0) < order.index(1)) for change, order in zip(wide, orders, strict=True)
    ]
    assert np.mean(agreed) == pytest.approx(0.5, abs=0.06)


def test_without_room_there_is_nothing_to_crop() -> None:
    changes = [sample_augmentation(AugmentConfig(load_size=64), 64, 0, position) for position in range(20)]
    assert {(change.x, change.y) for change in changes} == {(0, 0)}


def changed(**fields: float) -> Augmentation:
    """No change to an image of 100 pixels, but for the given fields."""
    unchanged = sample_augmentation(AugmentConfig(load_size=100, flip=False), 100, 0, 0)
    return dataclasses.replace(unchanged, **fields)  # type: ignore[arg-type]


def test_the_warp_says_which_input_point_an_output_point_shows() -> None:
    turned = changed(angle=90.0).warp()
    np.testing.assert_allclose(turned @ [100, 0, 1], [0, 0], atol=1e-9)  # top left went clockwise to the top right
    np.testing.assert_allclose(changed(scale=2.0).warp() @ [100, 100, 1], [75, 75])
    np.testing.assert_allclose(changed(shift_x=10.0, shift_y=-5.0).warp() @ [10, 20, 1], [0, 25])


def test_colour_factors_do_what_they_are_called() -> None:
    pixel = np.array([10.0, 200.0, 90.0, 1.0])
    np.testing.assert_allclose(changed(brightness=0.5).colour() @ pixel, pixel[:3] / 2)
    np.testing.assert_allclose(changed(contrast=0.0).colour() @ pixel, [127.5] * 3)
    np.testing.assert_allclose(changed(saturation=0.0).colour() @ pixel, [0.299 * 10 + 0.587 * 200 + 0.114 * 90] * 3)
