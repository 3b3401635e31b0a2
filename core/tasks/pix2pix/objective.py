"""The objective of pix2pix (Isola et al. 2017, section 3.1), free of precision, processes, logging and files."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.core.augment import NUMBERS_PER_IMAGE, diff_augment_pair
from limner.core.batch import Batch
from limner.core.losses import GAN_LOSSES, discriminator_loss, generator_loss
from limner.core.networks.patchgan import Judgement
from limner.core.noise import RngStream, uniform
from limner.core.perceptual.lpips import Lpips
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.tasks.pix2pix.teacher import Teacher
from limner.core.training.objective import Losses, Networks, Objective, Phase


class Pix2PixObjective(Objective):
    """Sketches should fool a discriminator that sees them with their photo, and be close to the real ones."""

    def __init__(self, config: Pix2PixConfig, device: torch.device, teacher: Teacher | None = None) -> None:
        """Raises UserError, with the command that installs them, if the weights of a loss are missing.

        teacher: whose sketches are a second target.
        """
        self.gan_loss = config.gan_loss
        self.weights = {
            "gan": 1.0,
            "l1": config.l1_weight,
            "lpips": config.lpips_weight,
            "gradient": config.gradient_weight,
            "feature_matching": config.feature_matching_weight,
            "distill": config.distill_weight,
        }
        """Factors on the terms of the generator's loss, by name."""
        self.lpips = Lpips("alex").to(device) if config.lpips_weight else None
        self.teacher = teacher
        self.discriminator_weight = config.discriminator_weight
        self.augment = config.diff_augment
        self.seed = config.seed
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
        """Compute the discriminator's loss on real pairs and on `fake`, weighted so that it learns more slowly.

        The loss and the statistics are means over the discriminator's scales.
        """
        assert batch.sketch is not None
        discriminator, stream = networks["discriminator"], RngStream.AUGMENT_PAIR_FOR_DISCRIMINATOR
        photo, real = self._augmented(batch, batch.sketch, stream)
        _, fake = self._augmented(batch, fake.detach(), stream)
        if self.joint_pass:
            judged = discriminator(torch.cat([photo, photo]), torch.cat([real, fake]), torch.cat([batch.style] * 2))
            pairs = [logits.chunk(2) for logits in judged.logits]
        else:
            real_judged = discriminator(photo, real, batch.style)
            pairs = list(zip(real_judged.logits, discriminator(photo, fake, batch.style).logits, strict=True))
        losses = [discriminator_loss(self.gan_loss, real_logits, fake_logits) for real_logits, fake_logits in pairs]
        loss = self.discriminator_weight * _mean(losses)
        stats = {
            "loss/discriminator": loss,
            "discriminator/real": _mean([real_logits.float().sigmoid().mean() for real_logits, _ in pairs]),
            "discriminator/fake": _mean([fake_logits.float().sigmoid().mean() for _, fake_logits in pairs]),
        }
        return loss, stats

    def generator_loss(self, networks: Networks, batch: Batch, fake: Tensor) -> Losses:
        """Compute the generator's loss: GAN + l1_weight * L1 (Isola et al. 2017, equation 4), and what is weighted."""
        assert batch.sketch is not None
        adversarial = self._adversarial(networks["discriminator"], batch, fake)
        targets = [batch.sketch]
        if self.teacher is not None:
            targets.append(self.teacher(batch.photo, batch.style))
        distances, *distilled = self._distances(fake, targets)
        terms = adversarial | distances
        for others in distilled:
            terms["distill"] = self._weighted(others)
        loss = self._weighted(terms)
        return loss, {"loss/generator": loss, **{f"loss/{name}": value for name, value in terms.items()}}

    def _adversarial(self, discriminator: nn.Module, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """Compute what the discriminator says of `fake`, and its distance from the real pairs in its features."""
        assert batch.sketch is not None
        matching = self.weights["feature_matching"] > 0.0
        judged = self._judge(discriminator, batch, fake, matching)
        real = judged
        if matching or GAN_LOSSES[self.gan_loss].generator_needs_real:
            with torch.no_grad():
                real = self._judge(discriminator, batch, batch.sketch, matching)
        scales = zip(real.logits, judged.logits, strict=True)
        terms = {"gan": _mean([generator_loss(self.gan_loss, *logits) for logits in scales])}
        if matching:
            terms["feature_matching"] = feature_matching(judged.features, real.features)
        return terms

    def _judge(self, discriminator: nn.Module, batch: Batch, sketch: Tensor, with_features: bool) -> Judgement:
        photo, sketch = self._augmented(batch, sketch, RngStream.AUGMENT_PAIR_FOR_GENERATOR)
        judged: Judgement = discriminator(photo, sketch, batch.style, with_features=with_features)
        return judged

    def _distances(self, fake: Tensor, targets: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Compute the distances of `fake` from each target that have a weight; all of (N, C, S, S)."""
        fake = fake.float()
        distances = [{"l1": F.l1_loss(fake, target)} for target in targets]
        if self.lpips is not None:
            features = self.lpips.features(fake)
            for terms, target in zip(distances, targets, strict=True):
                terms["lpips"] = self.lpips.distance(features, self.lpips.features(target)).mean()
        if self.weights["gradient"]:
            for terms, target in zip(distances, targets, strict=True):
                terms["gradient"] = gradient_distance(fake, target)
        return distances

    def _weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()

    def _augmented(self, batch: Batch, sketch: Tensor, stream: RngStream) -> tuple[Tensor, Tensor]:
        """Photos and sketches as the discriminator sees them; real and generated sketches are augmented alike."""
        if not self.augment.active:
            return batch.photo, sketch
        numbers = uniform(self.seed, stream, batch.position, NUMBERS_PER_IMAGE)
        numbers = numbers.to(batch.photo.device, non_blocking=True)
        return diff_augment_pair(batch.photo, sketch.float(), self.augment, numbers)


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Compute the mean over layers of the mean absolute difference of features (Wang et al. 2018, equation 4)."""
    return _mean([F.l1_loss(ours.float(), theirs.float()) for ours, theirs in zip(fake, real, strict=True)])


def gradient_distance(fake: Tensor, real: Tensor) -> Tensor:
    """Compute the mean absolute error of differences of neighbouring pixels in x and in y; images (N, C, S, S) fp32.

    Mathieu et al. 2016 (arXiv:1511.05440), equation 6 with exponent 1, here with the differences' signs.
    """
    error = fake - real
    return _mean([error.diff(dim=dim).abs().mean() for dim in (2, 3)])


def _mean(values: Sequence[Tensor]) -> Tensor:
    """Mean of scalars."""
    return torch.stack(list(values)).mean()
