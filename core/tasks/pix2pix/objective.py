"""The adversarial law of pix2pix (Isola et al. 2017, section 3.1), free of precision, processes, logging and files."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.core.batch import Batch
from limner.core.config import GanLoss
from limner.core.losses import Losses, discriminator_loss, generator_loss


class Pix2PixLaw:
    """Sketches should fool a discriminator that sees them beside their photo, and lie near the real ones in L1."""

    def __init__(self, gan_loss: GanLoss, l1_weight: float, discriminator_weight: float, joint_pass: bool) -> None:
        """joint_pass: judge real and fake in one batch; exact unless the discriminator has batch norm, whose
        statistics the paper takes over each alone."""
        self.gan_loss = gan_loss
        self.l1_weight = l1_weight
        self.discriminator_weight = discriminator_weight
        self.joint_pass = joint_pass
        self.penalty_interval = 0

    def generate(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Sketches (N, C, S, S) in [-1, 1] for the batch's photos, with gradients."""
        fake: Tensor = generator(batch.photo, batch.style)
        return fake

    def discriminator_loss(self, discriminator: nn.Module, batch: Batch, fake: Tensor) -> Losses:
        """Loss of the discriminator on real pairs and on `fake` (detached); weighted so that it learns more slowly."""
        assert batch.sketch is not None
        photo, real = batch.photo, batch.sketch
        if self.joint_pass:
            logits = discriminator(torch.cat([photo, photo]), torch.cat([real, fake]), torch.cat([batch.style] * 2))
            real_logits, fake_logits = logits.chunk(2)
        else:
            real_logits = discriminator(photo, real, batch.style)
            fake_logits = discriminator(photo, fake, batch.style)
        loss = self.discriminator_weight * discriminator_loss(self.gan_loss, real_logits, fake_logits)
        stats = {
            "loss/discriminator": loss,
            "discriminator/real": real_logits.float().sigmoid().mean(),
            "discriminator/fake": fake_logits.float().sigmoid().mean(),
        }
        return loss, stats

    def penalty(self, discriminator: nn.Module, batch: Batch, fake: Tensor) -> Losses:
        """None: never called, as `penalty_interval` is 0."""
        raise NotImplementedError

    def generator_loss(self, discriminator: nn.Module, batch: Batch, fake: Tensor) -> Losses:
        """Loss of the generator for `fake`: GAN + l1_weight * L1 (Isola et al. 2017, equation 4)."""
        assert batch.sketch is not None
        gan = generator_loss(self.gan_loss, discriminator(batch.photo, fake, batch.style))
        l1 = F.l1_loss(fake.float(), batch.sketch)
        loss = gan + self.l1_weight * l1
        return loss, {"loss/generator": loss, "loss/gan": gan, "loss/l1": l1}
