"""What each task trains: its networks, the law they follow, and how it is watched."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from limner.core.bundle import BundleConfig, build_generator
from limner.core.config import Architecture, DCGANConfig, Pix2PixConfig, TrainConfig, require
from limner.core.networks.dcgan import DCGANDiscriminator
from limner.core.networks.init import init_weights
from limner.core.networks.patchgan import PatchGAN
from limner.core.networks.residual import ModernDiscriminator
from limner.core.networks.unet import UNet, inference_config
from limner.core.tasks.dcgan.objective import DCGANLaw
from limner.core.tasks.dcgan.validation import NoiseWatcher
from limner.core.tasks.pix2pix.objective import Pix2PixLaw
from limner.core.tasks.pix2pix.validation import PairWatcher
from limner.core.training.loop import Watcher
from limner.core.training.step import Law
from limner.data_pipeline.index import Dataset, Record
from limner.data_pipeline.reference import read_pairs

WATCHED = 64
"""Validation pairs, or samples, that are measured at the end of an epoch, at most."""
INITIAL_STD: dict[Architecture, float | None] = {"paper": 0.02, "modern": None}
SHOWN = 8
"""Validation pairs on a sample sheet."""


@dataclass(frozen=True)
class Task:
    """What a run's networks are and how they play; all that differs between pix2pix and DCGAN."""

    generator: nn.Module
    discriminator: nn.Module
    law: Law
    watcher: Watcher
    bundle: BundleConfig
    records: tuple[Record, ...]
    """What is learned from."""
    paired: bool


def build_task(config: TrainConfig, dataset: Dataset, device: torch.device) -> Task:
    """The task whose config `config` is."""
    if isinstance(config, Pix2PixConfig):
        return build_pix2pix(config, dataset, device)
    if isinstance(config, DCGANConfig):
        return build_dcgan(config, dataset, device)
    raise TypeError(f"no task has a {type(config).__name__}")


def build_pix2pix(config: Pix2PixConfig, dataset: Dataset, device: torch.device) -> Task:
    """Networks with their first weights, the law, and validation pairs to watch."""
    styles = config.generator.styles
    require(
        styles in (0, len(dataset.styles)),
        f"generator styles {styles}: the dataset {dataset.name} has {len(dataset.styles)}; give that number or 0",
    )
    generator = UNet(config.resolved_generator)
    channels = config.generator.in_channels + config.generator.out_channels
    discriminator = PatchGAN(config.discriminator, channels, styles)
    init_weights(generator, config.seed)
    init_weights(discriminator, config.seed + 1)
    split = "val" if dataset.splits.get("val") else "train"
    pairs = list(read_pairs(dataset.root, dataset.split(split)[:WATCHED], config.image_size, batch_size=8))
    return Task(
        generator=generator,
        discriminator=discriminator,
        law=Pix2PixLaw(
            config.gan_loss,
            config.l1_weight,
            config.discriminator_weight,
            joint_pass=config.discriminator.norm != "batch",
        ),
        watcher=PairWatcher(pairs, device, SHOWN, measured=split == "val"),
        bundle=BundleConfig(
            task="pix2pix",
            image_size=config.image_size,
            fit=dataset.fit,
            styles=dataset.styles if styles else (),
            generator=inference_config(config.resolved_generator),
        ),
        records=dataset.split("train"),
        paired=True,
    )


def build_dcgan(config: DCGANConfig, dataset: Dataset, device: torch.device) -> Task:
    """Networks with their first weights, the law, and portraits of the data to watch samples beside."""
    if config.condition:
        dataset = dataset.classified_by(config.condition)
    styles = len(dataset.styles) if config.condition else 0
    bundle = BundleConfig(
        task="dcgan",
        image_size=config.image_size,
        fit=dataset.fit,
        styles=dataset.styles if styles else (),
        generator=replace(config.generator, styles=styles),
    )
    generator = build_generator(bundle)
    judge = ModernDiscriminator if config.discriminator.architecture == "modern" else DCGANDiscriminator
    discriminator = judge(config.discriminator, config.image_size, styles)
    init_weights(generator, config.seed, INITIAL_STD[config.generator.architecture])
    init_weights(discriminator, config.seed + 1, INITIAL_STD[config.discriminator.architecture])
    discriminator.stages[: config.discriminator.frozen_stages].requires_grad_(False)
    records = dataset.split("train")
    shown = [replace(row, sketch=None) for row in records[:: max(1, len(records) // WATCHED)][:WATCHED]]
    return Task(
        generator=generator,
        discriminator=discriminator,
        law=DCGANLaw(
            config.gan_loss,
            config.generator.latent,
            config.seed,
            config.diff_augment,
            config.r1_weight,
            config.r2_weight,
            config.penalty_interval if config.r1_weight > 0.0 or config.r2_weight > 0.0 else 0,
            joint_pass=config.discriminator.architecture == "modern",
        ),
        watcher=NoiseWatcher(
            config, next(read_pairs(dataset.root, shown, config.image_size, WATCHED)), discriminator, device
        ),
        bundle=bundle,
        records=records,
        paired=False,
    )
