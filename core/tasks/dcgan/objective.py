"""The objective of portraits from noise, free of precision, processes, logging and files."""

import torch
from torch import Tensor, nn

from limner.core.augment import NUMBERS_PER_IMAGE, diff_augment
from limner.core.batch import Batch
from limner.core.losses import GAN_LOSSES, discriminator_loss, generator_loss
from limner.core.noise import RngStream, normal, uniform
from limner.core.tasks.dcgan.config import DCGANConfig
from limner.core.training.objective import Losses, Networks, Objective, Phase


class DCGANObjective(Objective):
    """Portraits from noise should fool a discriminator that sees them, and the real ones, through DiffAugment.

    All random numbers are keyed by the index in the sample stream: they do not depend on ranks or batches.
    """

    def __init__(self, config: DCGANConfig) -> None:
        self.gan_loss = config.gan_loss
        self.latent = config.generator.latent
        self.seed = config.seed
        self.augment = config.diff_augment
        self.r1_weight = config.r1_weight
        self.r2_weight = config.r2_weight
        self.joint_pass = config.discriminator.architecture != "paper"
        """Run real and generated images as one batch: exact without batch norm."""
        regularised = config.r1_weight > 0.0 or config.r2_weight > 0.0
        self.phases = (
            Phase(
                "discriminator",
                self.discriminator_loss,
                regulariser=self.gradient_penalty if regularised else None,
                interval=config.penalty_interval,
                lr_factor=config.optimizer.discriminator_lr_factor,
            ),
            Phase("generator", self.generator_loss),
        )

    def generate(self, networks: Networks, batch: Batch) -> Tensor:
        """Generate portraits (N, 3, S, S) in [-1, 1] from the latents of the batch's indices."""
        latent = normal(self.seed, RngStream.LATENT, batch.position, self.latent)
        fake: Tensor = networks["generator"](latent.to(batch.photo.device, non_blocking=True), batch.style)
        return fake

    def discriminator_loss(self, networks: Networks, batch: Batch, fake: Tensor) -> Losses:
        """Compute the discriminator's loss on real and generated portraits."""
        discriminator = networks["discriminator"]
        real = self._augmented(batch, RngStream.AUGMENT_REAL_FOR_DISCRIMINATOR)
        fake = self._augmented(batch, RngStream.AUGMENT_FAKE_FOR_DISCRIMINATOR, fake.detach())
        if self.joint_pass:
            logits = discriminator(torch.cat([real, fake]), torch.cat([batch.style] * 2))
            real_logits, fake_logits = logits.chunk(2)
        else:
            real_logits, fake_logits = discriminator(real, batch.style), discriminator(fake, batch.style)
        loss = discriminator_loss(self.gan_loss, real_logits, fake_logits)
        stats = {
            "loss/discriminator": loss,
            "discriminator/real": real_logits.float().sigmoid().mean(),
            "discriminator/fake": fake_logits.float().sigmoid().mean(),
        }
        return loss, stats

    def gradient_penalty(self, networks: Networks, batch: Batch, fake: Tensor) -> Losses:
        """Compute R1 on real and R2 on generated images: half the mean squared gradient norm.

        Mescheder et al. 2018, equations 9 and 10; at the images as the discriminator sees them, after DiffAugment.
        """
        discriminator = networks["discriminator"]
        real = self._augmented(batch, RngStream.AUGMENT_REAL_FOR_DISCRIMINATOR)
        r1 = _half_squared_gradient_norm(discriminator, real, batch.style)
        total, stats = self.r1_weight * r1, {"penalty/r1": r1}
        if self.r2_weight > 0.0:
            seen = self._augmented(batch, RngStream.AUGMENT_FAKE_FOR_DISCRIMINATOR, fake.detach())
            r2 = _half_squared_gradient_norm(discriminator, seen, batch.style)
            total, stats["penalty/r2"] = total + self.r2_weight * r2, r2
        return total, stats

    def generator_loss(self, networks: Networks, batch: Batch, fake: Tensor) -> Losses:
        """Compute the generator's loss."""
        discriminator = networks["discriminator"]
        fake_logits = discriminator(self._augmented(batch, RngStream.AUGMENT_FAKE_FOR_GENERATOR, fake), batch.style)
        real_logits = fake_logits
        if GAN_LOSSES[self.gan_loss].generator_needs_real:
            real_logits = discriminator(self._augmented(batch, RngStream.AUGMENT_REAL_FOR_GENERATOR), batch.style)
        loss = generator_loss(self.gan_loss, real_logits, fake_logits)
        return loss, {"loss/generator": loss}

    def _augmented(self, batch: Batch, stream: RngStream, images: Tensor | None = None) -> Tensor:
        """Images (default: the batch's photos) in fp32 as the discriminator sees them."""
        images = batch.photo if images is None else images.float()
        if not self.augment.active:
            return images
        numbers = uniform(self.seed, stream, batch.position, NUMBERS_PER_IMAGE)
        return diff_augment(images, self.augment, numbers.to(images.device, non_blocking=True))


def _half_squared_gradient_norm(discriminator: nn.Module, images: Tensor, style: Tensor) -> Tensor:
    """Half the squared norm of the logit's gradient by the image, averaged over the images; differentiable."""
    images = images.detach().requires_grad_(True)
    # `forward`, since a compiled call cannot be differentiated twice.
    logits = discriminator.forward(images, style)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2.0
