"""Portraits from noise: the task `dcgan`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from limner.core.networks.config import Architecture
from limner.core.tasks.dcgan.config import PRESETS, DCGANConfig
from limner.core.tasks.task import DataFacts, Metric, Validation, ValidationPlan

if TYPE_CHECKING:
    import torch

    from limner.core.training.model import Model

__all__ = ["DCGANConfig", "DCGANTask"]

NUM_VAL_SAMPLES = 64
"""Samples that are validated, against as many portraits of the data, at most."""


class DCGANTask:
    """Learns from photos alone; a generator from noise, a discriminator of whole images."""

    name = "dcgan"
    config = DCGANConfig
    presets = PRESETS
    paired = False
    metrics: Mapping[str, Metric] = {
        "samples/swd": Metric("lower"),
        "diversity/pixels": Metric("higher"),
        "diversity/features": Metric("higher"),
    }

    def label(self, config: DCGANConfig) -> str | None:
        """What the config names as its condition."""
        return config.condition or None

    def resolve(self, config: DCGANConfig, data: DataFacts) -> DCGANConfig:
        """The config as it is: the number of classes goes into the bundle's generator only."""
        return config

    def validation(self, config: DCGANConfig) -> ValidationPlan:
        """Training portraits from all over the data."""
        return ValidationPlan(("train",), NUM_VAL_SAMPLES, batch_size=NUM_VAL_SAMPLES)

    def build(self, config: DCGANConfig, data: DataFacts, validation: Validation, device: torch.device) -> Model:
        """Build generator and discriminator with initial weights, their objective and the validator."""
        from limner.core.bundle import BundleConfig
        from limner.core.networks.dcgan import DCGANDiscriminator
        from limner.core.networks.generators import build_generator
        from limner.core.networks.init import init_weights
        from limner.core.networks.residual import ResidualDiscriminator
        from limner.core.tasks.dcgan.objective import DCGANObjective
        from limner.core.tasks.dcgan.validation import NoiseValidator
        from limner.core.training.model import Model

        styles = data.styles if config.condition else ()
        architecture = replace(config.generator, styles=len(styles))
        generator = build_generator(architecture, config.image_size)
        classes: dict[Architecture, type[DCGANDiscriminator | ResidualDiscriminator]]
        classes = {"paper": DCGANDiscriminator, "modern": ResidualDiscriminator}
        discriminator = classes[config.discriminator.architecture](config.discriminator, config.image_size, len(styles))
        init_weights(generator, config.seed, generator.initial_std)
        init_weights(discriminator, config.seed + 1, discriminator.initial_std)
        discriminator.stages[: config.discriminator.frozen_stages].requires_grad_(False)
        (portraits,) = validation.batches
        return Model(
            networks={"generator": generator, "discriminator": discriminator},
            objective=DCGANObjective(config),
            validator=NoiseValidator(config, portraits, discriminator, device),
            bundles={
                "model": ("generator", BundleConfig(self.name, config.image_size, data.fit, styles, architecture))
            },
        )
