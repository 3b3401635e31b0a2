"""Adversarial losses as pure functions of logits, in fp32 whatever the logits' dtype. To add one: a row in GAN_LOSSES.

torch is imported on use: configs name these losses, and a command's help does not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    LogitLoss = Callable[[Tensor, Tensor], Tensor]
    """Real and fake logits, fp32 of any shape -> a scalar."""

GanLoss = Literal["bce", "lsgan", "hinge", "relativistic"]


@dataclass(frozen=True)
class AdversarialLoss:
    """What discriminator and generator minimise, each as a function of real and fake logits."""

    discriminator: LogitLoss
    generator: LogitLoss
    generator_needs_real: bool = False
    """Whether the generator's loss depends on the real logits; else the fake ones may be given for both."""


def discriminator_loss(kind: GanLoss, real: Tensor, fake: Tensor) -> Tensor:
    """Compute the discriminator's loss from real and fake logits (any shape); a scalar."""
    return GAN_LOSSES[kind].discriminator(real.float(), fake.float())


def generator_loss(kind: GanLoss, real: Tensor, fake: Tensor) -> Tensor:
    """Compute the generator's loss from real and fake logits (any shape); a scalar. See `generator_needs_real`."""
    return GAN_LOSSES[kind].generator(real.float(), fake.float())


def _softplus(x: Tensor) -> Tensor:
    from torch.nn.functional import softplus

    return softplus(x)


GAN_LOSSES: dict[GanLoss, AdversarialLoss] = {
    # Goodfellow et al. 2014, equation 1, on logits; the generator's is the non-saturating form of section 3.
    "bce": AdversarialLoss(
        lambda real, fake: _softplus(-real).mean() + _softplus(fake).mean(),
        lambda real, fake: _softplus(-fake).mean(),
    ),
    # Mao et al. 2017, equation 9 (a = 0, b = c = 1), without its factor 1/2.
    "lsgan": AdversarialLoss(
        lambda real, fake: (real - 1.0).square().mean() + fake.square().mean(),
        lambda real, fake: (fake - 1.0).square().mean(),
    ),
    # Miyato et al. 2018, equations 16 and 17.
    "hinge": AdversarialLoss(
        lambda real, fake: (1.0 - real).relu().mean() + (1.0 + fake).relu().mean(),
        lambda real, fake: -fake.mean(),
    ),
    # Jolicoeur-Martineau 2019, RSGAN, equations 3 and 4: each image against its partner in the other batch; with R1 and
    # R2 it is Huang et al. 2024, equation 2.
    "relativistic": AdversarialLoss(
        lambda real, fake: _softplus(fake - real).mean(),
        lambda real, fake: _softplus(real - fake).mean(),
        generator_needs_real=True,
    ),
}
