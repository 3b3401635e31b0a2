"""Images from noise: each a function of the seed and its index alone."""

import math
from collections.abc import Iterator

import torch
from PIL import Image
from torch import Tensor

from limner.core.images import Uint8Image
from limner.core.noise import RngStream, normal
from limner.core.util.errors import UserError
from limner.deploy.model import Model, is_integer


class Sampler(Model):
    """Generates portraits from noise; `limner.load` opens one."""

    def __call__(
        self,
        count: int,
        *,
        seed: int = 0,
        truncation: float = math.inf,
        style: str | int | None = None,
        batch_size: int = 16,
    ) -> list[Image.Image]:
        """Generate `count` PIL images; the i-th depends on the seed and i, not on the count or, of a bundle, the batch.

        truncation: largest absolute value of a latent; 1 or less gives likelier and more similar images.
        style: name or number, of a generator that has styles; None: each in turn. Raises UserError for wrong input.
        """
        latents, styles = self.sample_latents(count, seed, truncation), self.choose_styles(count, style)
        return [Image.fromarray(image) for image in self.generate(latents, styles, batch_size)]

    def sample_latents(self, count: int, seed: int = 0, truncation: float = math.inf) -> Tensor:
        """Sample (count, Z) float32 latents ~ N(0, 1); the i-th does not depend on the count."""
        _check_integer("count", count, minimum=1)
        _check_integer("seed", seed, minimum=0)
        if not truncation > 0.0:
            raise UserError(f"truncation {truncation}: must be over 0; leave it out for none")
        (size,) = self.engine.signature.inputs[0].shape
        return normal(seed, RngStream.SAMPLE, torch.arange(count), size, truncation)

    def choose_styles(self, count: int, style: str | int | None = None) -> list[int] | None:
        """Return the style number of each of `count` images: `style`, or all in turn; None for a generator without."""
        if style is not None:
            return [self.style_number(style)] * count
        return [index % len(self.styles) for index in range(count)] if self.styles else None

    def generate(self, latents: Tensor, styles: list[int] | None = None, batch_size: int = 16) -> Iterator[Uint8Image]:
        """Generate an image (S, S, 3) uint8 of each latent, (N, Z) float32, and style number."""
        return self.infer(latents.numpy(), batch_size, styles)


def _check_integer(name: str, value: int, minimum: int) -> None:
    if not is_integer(value) or value < minimum:
        raise UserError(f"{name} {value}: must be a whole number of at least {minimum}")


def slerp_loop(latents: Tensor, steps: int) -> Tensor:
    """Interpolate in a closed loop through latents (K, Z), `steps` from each to the next: (K * steps, Z).

    Spherical interpolation keeps latents at a likely length (White 2016, arXiv:1609.04468).
    """
    share = torch.linspace(0.0, 1.0, steps + 1)[:-1, None]
    paths = []
    for start, end in zip(latents, latents.roll(-1, dims=0), strict=True):
        cosine = torch.nn.functional.cosine_similarity(start, end, dim=0).clamp(-1.0, 1.0)
        angle = torch.arccos(cosine).clamp(min=1e-4)
        paths.append((torch.sin((1.0 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle))
    return torch.cat(paths)
