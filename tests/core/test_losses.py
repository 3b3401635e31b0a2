import pytest
import torch
import torch.nn.functional as F

from limner.core.config import GanLoss
from limner.core.losses import discriminator_loss, generator_loss


def test_bce_is_the_textbook_loss_on_probabilities() -> None:
    real, fake = torch.randn(2, 1, 5, 5, dtype=torch.float64)
    ones, zeros = torch.ones_like(real).float(), torch.zeros_like(real).float()
    p_real, p_fake = real.float().sigmoid(), fake.float().sigmoid()
    expected = F.binary_cross_entropy(p_real, ones) + F.binary_cross_entropy(p_fake, zeros)
    torch.testing.assert_close(discriminator_loss("bce", real, fake), expected)
    torch.testing.assert_close(generator_loss("bce", fake), F.binary_cross_entropy(p_fake, ones))


@pytest.mark.parametrize("kind", ["bce", "lsgan", "hinge"])
def test_players_pull_in_opposite_directions(kind: GanLoss) -> None:
    fake = torch.full((4,), 0.5, requires_grad=True)
    (for_discriminator,) = torch.autograd.grad(discriminator_loss(kind, torch.zeros(4), fake), fake)
    (for_generator,) = torch.autograd.grad(generator_loss(kind, fake), fake)
    assert (for_discriminator > 0).all()
    assert (for_generator < 0).all()


@pytest.mark.parametrize("kind", ["bce", "lsgan", "hinge"])
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
