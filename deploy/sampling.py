"""Portraits from a trained generator: each a function of the seed and its number alone."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from limner.core.batch import to_images
from limner.core.bundle import BundleConfig
from limner.core.images import Uint8Image
from limner.core.networks.config import DCGANGeneratorConfig
from limner.core.noise import RngStream, normal
from limner.core.util.errors import UserError


def generator_config(config: BundleConfig) -> DCGANGeneratorConfig:
    """The bundle's generator of portraits from noise; UserError if it has another kind."""
    if not isinstance(config.generator, DCGANGeneratorConfig):
        raise UserError(f"a {config.task} model draws nothing from noise: give --model one that was trained with dcgan")
    return config.generator


def draw_latents(config: DCGANGeneratorConfig, seed: int, count: int, truncation: float = math.inf) -> Tensor:
    """(count, Z) float32 latents; the i-th does not depend on the count."""
    return normal(seed, RngStream.SAMPLE, torch.arange(count), config.latent, truncation)


def draw_styles(config: DCGANGeneratorConfig, count: int, style: int | None) -> Tensor:
    """(count,) int64: `style` for all, or all styles in turn; UserError if the generator has no such style."""
    if style is None:
        return torch.arange(count) % max(1, config.styles)
    if not 0 <= style < config.styles:
        allowed = f"0 to {config.styles - 1}" if config.styles else "none: the model was trained without --condition"
        raise UserError(f"style {style}: the model has no such style (allowed: {allowed})")
    return torch.full((count,), style)


@torch.no_grad()
def generate(
    generator: nn.Module, latents: Tensor, styles: Tensor, batch_size: int, device: torch.device
) -> Iterator[list[Uint8Image]]:
    """Pictures (S, S, 3) of latents (N, Z) and styles (N,), a batch at a time.

    Computed in float64: batches of different sizes add up in different orders, and what that changes is far below the
    step of an 8-bit picture, so that a sample's pixels do not depend on the batch that it was drawn in.
    """
    generator = generator.double().to(device)
    for first in range(0, len(latents), batch_size):
        chosen = slice(first, first + batch_size)
        yield list(to_images(generator(latents[chosen].double().to(device), styles[chosen].to(device))))


def tour(latents: Tensor, steps: int) -> Tensor:
    """A closed walk through K latents (K, Z) in `steps` steps from each to the next: (K * steps, Z).

    Along great circles, so that every stop is as long as a latent is likely to be (White 2016, arXiv:1609.04468).
    """
    share = torch.linspace(0.0, 1.0, steps + 1)[:-1, None]
    legs = []
    for start, end in zip(latents, latents.roll(-1, dims=0), strict=True):
        cosine = torch.nn.functional.cosine_similarity(start, end, dim=0).clamp(-1.0, 1.0)
        angle = torch.arccos(cosine).clamp(min=1e-4)
        legs.append((torch.sin((1.0 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle))
    return torch.cat(legs)
