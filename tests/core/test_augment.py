"""DiffAugment against pictures changed by hand, and its gradients."""

from dataclasses import replace

import pytest
import torch

from limner.core.augment import NUMBERS_PER_IMAGE, diff_augment, diff_augment_pair
from limner.core.config import DiffAugmentConfig

OFF = DiffAugmentConfig(colour=False, translation=0.0, cutout=0.0)
MIDDLE = torch.full((1, NUMBERS_PER_IMAGE), 0.5)


def images(count: int = 3, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0


def test_everything_off_changes_nothing() -> None:
    assert torch.equal(diff_augment(images(), OFF, torch.rand(3, NUMBERS_PER_IMAGE)), images())
    assert not OFF.active


def test_middle_draws_change_no_colours_and_shift_nothing() -> None:
    config = DiffAugmentConfig(colour=True, translation=0.25, cutout=0.0)
    torch.testing.assert_close(diff_augment(images(1), config, MIDDLE), images(1))


def test_a_shift_moves_pixels_and_uncovers_zeros() -> None:
    draws = MIDDLE.clone()
    draws[0, 3], draws[0, 4] = 0.999, 0.0  # furthest right and furthest up, by a quarter of 16
    config = DiffAugmentConfig(colour=False, translation=0.25, cutout=0.0)
    moved = diff_augment(images(1), config, draws)
    assert torch.equal(moved[:, :, :12, 4:], images(1)[:, :, 4:, :12])
    assert moved[:, :, 12:].abs().max() == 0.0
    assert moved[:, :, :, :4].abs().max() == 0.0


@pytest.mark.parametrize(("place", "rows"), [(0.5, slice(4, 12)), (0.0, slice(0, 4)), (0.999, slice(11, 16))])
def test_cutout_blanks_one_square(place: float, rows: slice) -> None:
    draws = torch.full((1, NUMBERS_PER_IMAGE), place)
    cut = diff_augment(torch.ones(1, 3, 16, 16), DiffAugmentConfig(colour=False, translation=0.0, cutout=0.5), draws)
    expected = torch.ones(1, 3, 16, 16)
    expected[:, :, rows, rows] = 0.0
    assert torch.equal(cut, expected)


def test_an_image_is_changed_by_its_own_draws_and_lets_gradients_through() -> None:
    draws = torch.rand(3, NUMBERS_PER_IMAGE, generator=torch.Generator().manual_seed(1))
    config = DiffAugmentConfig()
    together = diff_augment(images(), config, draws)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], diff_augment(images()[i : i + 1], config, draws[i : i + 1]))
    assert len({float((image - other).abs().max()) for image, other in zip(together, images(), strict=True)}) == 3
    given = images().double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: diff_augment(x, config, draws.double())[:, :, ::5, ::5], (given,))


def test_a_pair_moves_together_and_only_the_photo_changes_its_colours() -> None:
    draws = torch.rand(3, NUMBERS_PER_IMAGE, generator=torch.Generator().manual_seed(2))
    config = DiffAugmentConfig(colour=True, translation=0.25, cutout=0.25)
    photo, sketch = diff_augment_pair(images(), images(), config, draws)
    torch.testing.assert_close(photo, diff_augment(images(), config, draws))
    torch.testing.assert_close(sketch, diff_augment(images(), replace(config, colour=False), draws))
    assert not torch.equal(photo, sketch)
