from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from limner.core.losses import GAN_LOSSES, GanLoss, discriminator_loss, generator_loss

KINDS = get_args(GanLoss)


def test_every_loss_that_a_config_names_is_in_the_table() -> None:
    assert set(GAN_LOSSES) == set(KINDS)


def test_bce_is_the_textbook_loss_on_probabilities() -> None:
    real, fake = torch.randn(2, 1, 5, 5, dtype=torch.float64)
    ones, zeros = torch.ones_like(real).float(), torch.zeros_like(real).float()
    p_real, p_fake = real.float().sigmoid(), fake.float().sigmoid()
    expected = F.binary_cross_entropy(p_real, ones) + F.binary_cross_entropy(p_fake, zeros)
    torch.testing.assert_close(discriminator_loss("bce", real, fake), expected)
    torch.testing.assert_close(generator_loss("bce", real, fake), F.binary_cross_entropy(p_fake, ones))


def test_a_relativistic_pair_compares_the_two_logits() -> None:
    ahead, behind = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0])
    expected = (torch.log1p(torch.exp(torch.tensor(-2.0))) + torch.log(torch.tensor(2.0))) / 2
    torch.testing.assert_close(discriminator_loss("relativistic", real=ahead, fake=behind), expected)
    torch.testing.assert_close(generator_loss("relativistic", real=behind, fake=ahead), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_two_networks_pull_in_opposite_directions(kind: GanLoss) -> None:
    real, fake = torch.zeros(4), torch.full((4,), 0.5, requires_grad=True)
    (for_discriminator,) = torch.autograd.grad(discriminator_loss(kind, real, fake), fake)
    (for_generator,) = torch.autograd.grad(generator_loss(kind, real, fake), fake)
    assert (for_discriminator > 0).all()
    assert (for_generator < 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_only_losses_that_say_so_depend_on_real_logits_in_the_generators_phase(kind: GanLoss) -> None:
    fake = torch.full((4,), 0.5)
    values = {float(generator_loss(kind, real, fake)) for real in (torch.zeros(4), torch.ones(4))}
    assert (len(values) == 2) == GAN_LOSSES[kind].generator_needs_real


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_fp32_and_finite_for_extreme_logits_of_half_precision(kind: GanLoss) -> None:
    logits = torch.tensor([-60000.0, 60000.0], dtype=torch.float16)
    loss = discriminator_loss(kind, logits, logits)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)


def test_a_perfect_discriminator_has_no_loss() -> None:
    sure = torch.full((3,), 100.0)
    assert discriminator_loss("bce", sure, -sure).item() == pytest.approx(0.0)
    assert discriminator_loss("hinge", sure, -sure).item() == 0.0
    assert discriminator_loss("lsgan", torch.ones(3), torch.zeros(3)).item() == 0.0
