"""Adversarial losses as pure functions of logits, in fp32 whatever the logits' dtype."""

import torch.nn.functional as F
from torch import Tensor

from limner.core.config import GanLoss

Losses = tuple[Tensor, dict[str, Tensor]]
"""A scalar to minimise, and named scalars to watch; all on the device."""


def discriminator_loss(kind: GanLoss, real: Tensor, fake: Tensor) -> Tensor:
    """Sum of the losses on real and fake logits (any shape), each averaged; a scalar.

    bce: Goodfellow et al. 2014, equation 1, on logits; lsgan: Mao et al. 2017, equation 9 (a=0, b=c=1, without its
    factor 1/2); hinge: Miyato et al. 2018, equation 16.
    """
    real, fake = real.float(), fake.float()
    if kind == "bce":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    if kind == "lsgan":
        return (real - 1.0).square().mean() + fake.square().mean()
    return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()


def generator_loss(kind: GanLoss, fake: Tensor) -> Tensor:
    """Loss of the generator on the discriminator's logits for its images; a scalar.

    bce: the non-saturating form of Goodfellow et al. 2014, section 3; lsgan and hinge: as in `discriminator_loss`.
    """
    fake = fake.float()
    if kind == "bce":
        return F.softplus(-fake).mean()
    if kind == "lsgan":
        return (fake - 1.0).square().mean()
    return -fake.mean()


def relativistic_loss(ahead: Tensor, behind: Tensor) -> Tensor:
    """How far logits `ahead` should yet rise over `behind` (N,), image by image; a scalar.

    Jolicoeur-Martineau 2019, RSGAN, equations 3 and 4; with R1 and R2 it is Huang et al. 2024, equation 2. The
    discriminator wants real ahead of generated, the generator the reverse.
    """
    return F.softplus(behind.float() - ahead.float()).mean()
