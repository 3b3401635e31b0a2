import pytest
import torch

from limner.core.util.errors import UserError
from limner.deploy.signature import BatchProfile, Port, Signature

STYLED = Signature(
    (Port("photo", (3, 32, 32), "float32"), Port("style", (), "int64")), Port("image", (3, 32, 32), "float32"), styles=3
)


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
    assert BatchProfile(*profile).proof_sizes() == sizes


def test_pixels_change_pictures_only() -> None:
    pixels = STYLED.pixels()
    assert pixels.inputs == (Port("photo", (32, 32, 3), "uint8"), Port("style", (), "int64"))
    assert pixels.output == Port("image", (32, 32, 3), "uint8")


def test_random_inputs_fit_their_ports_and_follow_the_seed() -> None:
    inputs = STYLED.random_inputs(5, seed=1)
    assert inputs["photo"].shape == (5, 3, 32, 32)
    assert inputs["photo"].min() >= -1.0
    assert inputs["photo"].max() <= 1.0
    assert inputs["photo"].std() > 0.1
    assert inputs["style"].dtype == torch.int64
    assert 0 <= inputs["style"].min() <= inputs["style"].max() < 3
    assert torch.equal(inputs["photo"], STYLED.random_inputs(5, seed=1)["photo"])
    assert not torch.equal(inputs["photo"], STYLED.random_inputs(5, seed=2)["photo"])
