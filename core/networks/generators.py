"""The one table of generators: a bundle's `kind` rebuilds its network. To add one: config, network, a row here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from limner.core.networks.config import DCGANGeneratorConfig, GeneratorConfig, ResNetConfig, UNetConfig
from limner.core.networks.dcgan import DCGANGenerator
from limner.core.networks.generator import Generator
from limner.core.networks.residual import ResidualGenerator
from limner.core.networks.resnet import ResNet
from limner.core.networks.unet import UNet

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Endings of the names of batch norm's buffers, which instance norm does not have."""


@dataclass(frozen=True)
class GeneratorKind:
    """How a generator's config is read and its network built."""

    config: type[Any]
    build: Callable[[Any, int], Generator]
    """Config and image size -> network with arbitrary weights."""


GENERATORS: dict[str, GeneratorKind] = {
    "unet": GeneratorKind(UNetConfig, lambda config, image_size: UNet(config)),
    "resnet9": GeneratorKind(ResNetConfig, lambda config, image_size: ResNet(config)),
    "resnet6": GeneratorKind(ResNetConfig, lambda config, image_size: ResNet(config)),
    "dcgan": GeneratorKind(DCGANGeneratorConfig, DCGANGenerator),
    "residual": GeneratorKind(DCGANGeneratorConfig, ResidualGenerator),
}
"""By the `kind` of their configs."""


def build_generator(config: GeneratorConfig, image_size: int) -> Generator:
    """Build the generator that a config describes; its weights are arbitrary until some are set."""
    return GENERATORS[config.kind].build(config, image_size)


def inference_twin(generator: Generator, image_size: int) -> Generator:
    """The generator as it is validated and bundled: with the architecture that its config gives for inference.

    Shares the weights of `generator`; if the architecture is the same it is the generator itself.
    """
    config = generator.config
    if config.inference() == config:
        return generator
    with torch.device("meta"):  # drawing weights would advance the random state of a run on its first rank only
        twin = build_generator(config.inference(), image_size)
    weights = {name: value for name, value in generator.state_dict().items() if not name.endswith(STATISTICS)}
    twin.load_state_dict(weights, strict=True, assign=True)
    return twin.to(next(generator.parameters()).device).eval().requires_grad_(False)
