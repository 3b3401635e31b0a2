import pytest

from limner.core.util.errors import UserError
from limner.deploy.batch_profile import BatchProfile


@pytest.mark.parametrize("sizes", [(0, 1, 1), (8, 1, 4), (1, 8, 4), (-1, 1, 1)])
def test_batches_out_of_order_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(
        UserError, match=rf"batch {sizes[0]} {sizes[1]} {sizes[2]}: must be MIN OPT MAX .* such as 1 8 32"
    ):
        BatchProfile(*sizes)


def test_sizes_are_named_once_each() -> None:
    assert BatchProfile(1, 8, 32).sizes() == [1, 8, 32]
    assert BatchProfile(4, 4, 4).sizes() == [4]


@pytest.mark.parametrize(
    ("profile", "sizes"),
    [((1, 8, 32), [1, 2, 8, 32]), ((1, 2, 4), [1, 2, 3, 4]), ((1, 2, 3), [1, 2, 3]), ((4, 4, 4), [4])],
)
def test_one_more_size_is_proven_if_there_is_one(profile: tuple[int, int, int], sizes: list[int]) -> None:
    assert BatchProfile(*profile).parity_sizes() == sizes
