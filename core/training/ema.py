"""An average of the generator's weights over its recent past, with the half-life given in images."""

import copy

import torch
from torch import Tensor, nn

RAMP_UP = 0.05
"""The half-life is at most this fraction of the images seen so far (Karras et al. 2020, StyleGAN2-ADA's ema_rampup)."""


class Ema:
    """Exponential moving average of a network; buffers (running statistics) are copied, not averaged."""

    def __init__(self, network: nn.Module, halflife_images: float) -> None:
        """halflife_images: images after which a weight's share in the average has halved; 0: no averaging."""
        self.halflife_images = halflife_images
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, seen_images: int, batch_images: int) -> None:
        """Update the average after a step of `batch_images` images, `seen_images` in all."""
        halflife = min(self.halflife_images, RAMP_UP * seen_images)
        beta = 0.5 ** (batch_images / halflife) if halflife > 0.0 else 0.0
        averages: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(averages, list(network.parameters()), 1.0 - beta)
        for average, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(buffer)
