"""The objective of pix2pix (Isola et al. 2017, section 3.1), free of precision, processes, logging and files."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from limner.core.batch import Batch
from limner.core.losses import GAN_LOSSES, discriminator_loss, generator_loss
from limner.core.perceptual.lpips import Lpips
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.training.objective import Losses, Networks, Objective, Phase


class Pix2PixObjective(Objective):
    """Sketches should fool a discriminator that sees them with their photo, and be close to the real ones in L1."""

    def __init__(self, config: Pix2PixConfig, device: torch.device) -> None:
        """Raises UserError, with the command that installs them, if the weights of a loss are missing."""
        self.gan_loss = config.gan_loss
        self.l1_weight = config.l1_weight
        self.lpips_weight = config.lpips_weight
        self.lpips = Lpips("alex").to(device) if config.lpips_weight else None
        self.feature_matching_weight = config.feature_matching_weight
        self.discriminator_weight = config.discriminator_weight
        self.joint_pass = config.discriminator.norm != "batch"
        """Run real and fake as one batch: exact without batch norm, whose statistics the paper takes of each alone."""
        self.phases = (
            Phase("discriminator", self.discriminator_loss, lr_factor=config.optimizer.discriminator_lr_factor),
            Phase("generator", self.generator_loss),
        )

    def generate(self, networks: Networks, batch: Batch) -> Tensor:
        """Translate the batch's photos: sketches (N, C, S, S) in [-1, 1]."""
        fake: Tensor = networks["generator"](batch.photo, batch.style)
        return fake

    def discriminator_loss(self, networks: Networks, batch: Batch, fake: Tensor) -> Losses:
        """Compute the discriminator's loss on real pairs and on `fake`, weighted so that it learns more slowly."""
        assert batch.sketch is not None
        discriminator, photo, real, fake = networks["discriminator"], batch.photo, batch.sketch, fake.detach()
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

    def generator_loss(self, networks: Networks, batch: Batch, fake: Tensor) -> Losses:
        """Compute the generator's loss: GAN + l1_weight * L1 (Isola et al. 2017, equation 4), and what is weighted."""
        assert batch.sketch is not None
        discriminator = networks["discriminator"]
        features = discriminator(batch.photo, fake, batch.style, with_features=True)
        real_logits = fake_logits = features[-1]
        if GAN_LOSSES[self.gan_loss].generator_needs_real:
            real_logits = discriminator(batch.photo, batch.sketch, batch.style)
        gan = generator_loss(self.gan_loss, real_logits, fake_logits)
        l1 = F.l1_loss(fake.float(), batch.sketch)
        loss = gan + self.l1_weight * l1
        stats = {"loss/gan": gan, "loss/l1": l1}
        if self.lpips is not None:
            stats["loss/lpips"] = self.lpips(fake, batch.sketch).mean()
            loss = loss + self.lpips_weight * stats["loss/lpips"]
        if self.feature_matching_weight:
            with torch.no_grad():
                real = discriminator(batch.photo, batch.sketch, batch.style, with_features=True)
            stats["loss/feature_matching"] = feature_matching(features[:-1], real[:-1])
            loss = loss + self.feature_matching_weight * stats["loss/feature_matching"]
        return loss, {"loss/generator": loss, **stats}


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Compute the mean over layers of the mean absolute difference of features (Wang et al. 2018, equation 4)."""
    distances = [F.l1_loss(ours.float(), theirs.float()) for ours, theirs in zip(fake, real, strict=True)]
    return torch.stack(distances).mean()
