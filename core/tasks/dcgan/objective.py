"""The adversarial law of portraits from noise, free of precision, processes, logging and files."""

import torch
from torch import Tensor, nn

from limner.core.augment import DRAWS, diff_augment
from limner.core.batch import Batch
from limner.core.config import DiffAugmentConfig, PortraitLoss
from limner.core.losses import Losses, discriminator_loss, generator_loss, relativistic_loss
from limner.core.noise import Purpose, normal, uniform


class DCGANLaw:
    """Portraits from noise should fool a discriminator that sees them, and the real ones, through DiffAugment.

    All draws belong to positions of the sample stream: they do not depend on ranks or batches.
    """

    def __init__(
        self,
        loss: PortraitLoss,
        latent: int,
        seed: int,
        augment: DiffAugmentConfig,
        r1_weight: float = 0.0,
        r2_weight: float = 0.0,
        penalty_interval: int = 0,
        joint_pass: bool = False,
    ) -> None:
        """latent: numbers that an image is made from; penalty_interval: steps between penalties, 0: none.

        joint_pass: judge real and generated images in one batch; exact unless the discriminator has batch norm.
        """
        self.loss = loss
        self.latent = latent
        self.seed = seed
        self.augment = augment
        self.r1_weight = r1_weight
        self.r2_weight = r2_weight
        self.penalty_interval = penalty_interval
        self.joint_pass = joint_pass

    def generate(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Portraits (N, 3, S, S) in [-1, 1] from the batch's latents, with gradients."""
        latent = normal(self.seed, Purpose.LATENT, batch.position, self.latent)
        fake: Tensor = generator(latent.to(batch.photo.device, non_blocking=True), batch.style)
        return fake

    def discriminator_loss(self, discriminator: nn.Module, batch: Batch, fake: Tensor) -> Losses:
        """Loss of the discriminator on real and generated (detached) portraits."""
        real = self._seen(batch, Purpose.AUGMENT_REAL_FOR_DISCRIMINATOR)
        fake = self._seen(batch, Purpose.AUGMENT_FAKE_FOR_DISCRIMINATOR, fake)
        if self.joint_pass:
            logits = discriminator(torch.cat([real, fake]), torch.cat([batch.style] * 2))
            real_logits, fake_logits = logits.chunk(2)
        else:
            real_logits, fake_logits = discriminator(real, batch.style), discriminator(fake, batch.style)
        if self.loss == "relativistic":
            loss = relativistic_loss(ahead=real_logits, behind=fake_logits)
        else:
            loss = discriminator_loss(self.loss, real_logits, fake_logits)
        stats = {
            "loss/discriminator": loss,
            "discriminator/real": real_logits.float().sigmoid().mean(),
            "discriminator/fake": fake_logits.float().sigmoid().mean(),
        }
        return loss, stats

    def penalty(self, discriminator: nn.Module, batch: Batch, fake: Tensor) -> Losses:
        """R1 on real and R2 on generated images: half the mean squared gradient norm (Mescheder et al. 2018, eq. 9-10).

        Taken at the images as the discriminator sees them, after DiffAugment.
        """
        r1 = _gradient_penalty(discriminator, self._seen(batch, Purpose.AUGMENT_REAL_FOR_DISCRIMINATOR), batch.style)
        total, stats = self.r1_weight * r1, {"penalty/r1": r1}
        if self.r2_weight > 0.0:
            seen = self._seen(batch, Purpose.AUGMENT_FAKE_FOR_DISCRIMINATOR, fake)
            r2 = _gradient_penalty(discriminator, seen, batch.style)
            total, stats["penalty/r2"] = total + self.r2_weight * r2, r2
        return total, stats

    def generator_loss(self, discriminator: nn.Module, batch: Batch, fake: Tensor) -> Losses:
        """Loss of the generator for `fake`."""
        logits = discriminator(self._seen(batch, Purpose.AUGMENT_FAKE_FOR_GENERATOR, fake), batch.style)
        if self.loss == "relativistic":
            real = discriminator(self._seen(batch, Purpose.AUGMENT_REAL_FOR_GENERATOR), batch.style)
            loss = relativistic_loss(ahead=logits, behind=real)
        else:
            loss = generator_loss(self.loss, logits)
        return loss, {"loss/generator": loss}

    def _seen(self, batch: Batch, purpose: Purpose, images: Tensor | None = None) -> Tensor:
        """`images` (None: the batch's photos) in fp32 as the discriminator sees them."""
        images = batch.photo if images is None else images.float()
        if not self.augment.active:
            return images
        draws = uniform(self.seed, purpose, batch.position, DRAWS)
        return diff_augment(images, self.augment, draws.to(images.device, non_blocking=True))


def _gradient_penalty(discriminator: nn.Module, images: Tensor, style: Tensor) -> Tensor:
    """Half the squared norm of the logit's gradient by the image, averaged over the images; differentiable."""
    images = images.detach().requires_grad_(True)
    # `forward`, since a compiled call cannot be differentiated twice, and hooks of workers belong to the first pass.
    logits = discriminator.forward(images, style)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2.0
