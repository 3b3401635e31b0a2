"""Photo to sketch: the task `pix2pix`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from limner.core.config import require
from limner.core.runs import find_model
from limner.core.tasks.pix2pix.config import PRESETS, Pix2PixConfig
from limner.core.tasks.pix2pix.metrics import VALIDATION_METRICS
from limner.core.tasks.task import DataFacts, Validation, ValidationPlan

if TYPE_CHECKING:
    import torch

    from limner.core.training.model import Model

__all__ = ["Pix2PixConfig", "Pix2PixTask"]

NUM_VAL_IMAGES = 64
"""Pairs that are validated on, at most."""


class Pix2PixTask:
    """Learns from pairs; a generator and a PatchGAN."""

    name = "pix2pix"
    config = Pix2PixConfig
    presets = PRESETS
    paired = True
    metrics = VALIDATION_METRICS

    def label(self, config: Pix2PixConfig) -> None:
        """The dataset's own styles."""

    def resolve(self, config: Pix2PixConfig, data: DataFacts) -> Pix2PixConfig:
        """Take the number of styles from the data if none is given, and the teacher's bundle from what names it.

        UserError also for a metric, a loss or a teacher that cannot be had on this machine.
        """
        if config.keep_best:
            import torch

            VALIDATION_METRICS[config.keep_best].open(torch.device("cpu"))
        if config.lpips_weight:
            from limner.core.perceptual.weights import load_weights

            load_weights("lpips-alex")
        if config.distill_from:
            from limner.core.tasks.pix2pix.teacher import check_teacher

            config = replace(config, distill_from=str(find_model(config.distill_from).absolute()))
            check_teacher(config.distill_from, data.styles, config.image_size)
        styles, found = config.generator.styles, len(data.styles)
        if styles is None:
            return replace(config, generator=replace(config.generator, styles=found if found > 1 else 0))
        require(
            styles in (0, found),
            f"generator styles {styles}: the dataset {data.name} has {found}; leave it out, or give that number or 0",
        )
        return config

    def validation(self, config: Pix2PixConfig) -> ValidationPlan:
        """The validation pairs, all styles alike; training pairs are at least something to look at."""
        return ValidationPlan(("val", "train"), NUM_VAL_IMAGES, batch_size=8, stratified=True)

    def build(self, config: Pix2PixConfig, data: DataFacts, validation: Validation, device: torch.device) -> Model:
        """Build generator and discriminator with initial weights, their objective and the validator."""
        from limner.core.bundle import BundleConfig
        from limner.core.networks.generators import build_generator
        from limner.core.networks.init import init_weights
        from limner.core.networks.patchgan import build_patchgan
        from limner.core.tasks.pix2pix.objective import Pix2PixObjective
        from limner.core.tasks.pix2pix.teacher import Teacher
        from limner.core.tasks.pix2pix.validation import PairValidator
        from limner.core.training.model import Model

        architecture = config.generator.resolved(config.image_size)
        styles = architecture.styles or 0
        generator = build_generator(architecture, config.image_size)
        channels = architecture.in_channels + architecture.out_channels
        discriminator = build_patchgan(config.discriminator, channels, styles, config.seed + 1)
        init_weights(generator, config.seed)
        teacher = Teacher(config.teacher, data.styles, config.image_size, device) if config.teacher else None
        bundle = BundleConfig(
            task=self.name,
            image_size=config.image_size,
            fit=data.fit,
            styles=data.styles if styles else (),
            generator=architecture.inference(),
        )
        return Model(
            networks={"generator": generator, "discriminator": discriminator},
            objective=Pix2PixObjective(config, device, teacher),
            validator=PairValidator(validation, device, config.keep_best),
            bundles={"model": ("generator", bundle)},
        )
