"""How a DCGAN run validates its generator: a grid of fixed latents, their diversity, and a warning of collapse."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from limner.core.batch import Batch, to_images
from limner.core.image_grid import make_grid
from limner.core.images import Uint8Image
from limner.core.metrics.diversity import mean_pairwise_distance
from limner.core.metrics.swd import sliced_wasserstein
from limner.core.networks.dcgan import DCGANDiscriminator
from limner.core.networks.residual import ResidualDiscriminator
from limner.core.noise import RngStream, normal
from limner.core.tasks.dcgan.config import DCGANConfig
from limner.core.tasks.validation import evaluating, run_generator
from limner.core.util.errors import LimnerError

Discriminator = DCGANDiscriminator | ResidualDiscriminator

_log = logging.getLogger("limner")

REMEDIES = (
    "try --preset modern, a smaller --optimizer.lr, a larger --r1-weight, --diff-augment options on, or resume from an "
    "earlier checkpoint"
)


class NoiseValidator:
    """Validates a generator on the same latents each time, against as many portraits of the data."""

    def __init__(self, config: DCGANConfig, data: Batch, discriminator: Discriminator, device: torch.device) -> None:
        """data: portraits without augmentation; discriminator: has `features`, on `device` when it is asked."""
        self._config = config
        self._data = data
        self._discriminator = discriminator
        self._device = device
        self._latents = normal(config.seed, RngStream.SAMPLE, data.position, config.generator.latent)

    def sample_grid(self, generators: Mapping[str, nn.Module]) -> Uint8Image:
        """Make a square grid of samples, (H, W, 3) uint8."""
        return make_grid(list(to_images(self._generate(generators))))

    def evaluate(self, generators: Mapping[str, nn.Module], seen_images: int) -> dict[str, float]:
        """Compute the samples' diversity as a fraction of the data's, and their sliced Wasserstein distance to it.

        LimnerError where the samples have collapsed and the config asks to stop.
        """
        fake = self._generate(generators)
        photo = self._data.photo
        pixels = mean_pairwise_distance(fake) / mean_pairwise_distance(photo)
        features = mean_pairwise_distance(self._features(fake)) / mean_pairwise_distance(self._features(photo))
        distances = sliced_wasserstein(fake, photo)
        self._check_collapse(pixels, seen_images)
        return {
            "diversity/pixels": pixels,
            "diversity/features": features,
            "samples/swd": sum(distances.values()) / len(distances),
        }

    def _check_collapse(self, diversity: float, seen_images: int) -> None:
        config = self._config
        collapsed = diversity < config.collapse_fraction  # NaN is not: the loop has a line of its own for it
        if not collapsed or seen_images < config.collapse_after_images:
            return
        finding = (
            f"the samples have collapsed: their diversity is {diversity:.3f} of the data's at image {seen_images}, "
            f"under --collapse-fraction {config.collapse_fraction}; {REMEDIES}"
        )
        if config.stop_on_collapse:
            raise LimnerError(finding)
        _log.warning(finding)

    def _generate(self, generators: Mapping[str, nn.Module]) -> Tensor:
        latents, style = self._latents.to(self._device), self._data.style.to(self._device)
        return run_generator(generators["generator"], latents, style)

    def _features(self, images: Tensor) -> Tensor:
        with evaluating(self._discriminator):
            features: Tensor = self._discriminator.features(images.to(self._device), self._data.style.to(self._device))
        return features.float().cpu()
