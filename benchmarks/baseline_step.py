"""The baseline of train.py: a training step written as in junyanz/pytorch-CycleGAN-and-pix2pix.

Own code on our networks with that repository's choices: fp32 in NCHW, torch's instance norm, the discriminator run
separately on fake and on real pairs and once more for the generator, requires_grad switched on all its weights, torch's
default Adam.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from limner.core.batch import Batch
from limner.core.networks.generators import build_generator
from limner.core.networks.init import init_weights
from limner.core.networks.layers import InstanceNorm
from limner.core.networks.patchgan import build_patchgan
from limner.core.tasks.pix2pix.config import Pix2PixConfig


class BaselineStep:
    """Updates the discriminator and then the generator on one batch per call."""

    def __init__(self, config: Pix2PixConfig, device: torch.device) -> None:
        """Build networks with the initial weights of a run of `config`."""
        generator = build_generator(config.generator.resolved(config.image_size), config.image_size)
        discriminator = build_patchgan(config.discriminator, channels=6, styles=0, seed=config.seed + 1)
        init_weights(generator, config.seed)
        self.generator = with_torch_norms(generator).to(device)
        self.discriminator = with_torch_norms(discriminator).to(device)
        self.l1_weight = config.l1_weight
        betas = (config.optimizer.beta1, config.optimizer.beta2)
        self.optimizer_g = Adam(self.generator.parameters(), config.optimizer.lr, betas)
        self.optimizer_d = Adam(self.discriminator.parameters(), config.optimizer.lr, betas)

    def __call__(self, batch: Batch) -> None:
        """Update both networks."""
        assert batch.sketch is not None
        fake = self.generator(batch.photo)
        set_requires_grad(self.discriminator, True)
        self.optimizer_d.zero_grad()
        loss_fake = gan_loss(self._logits(batch, fake.detach()), real=False)
        loss_real = gan_loss(self._logits(batch, batch.sketch), real=True)
        ((loss_fake + loss_real) * 0.5).backward()  # type: ignore[no-untyped-call]
        self.optimizer_d.step()
        set_requires_grad(self.discriminator, False)
        self.optimizer_g.zero_grad()
        loss = gan_loss(self._logits(batch, fake), real=True)
        (loss + F.l1_loss(fake, batch.sketch) * self.l1_weight).backward()  # type: ignore[no-untyped-call]
        self.optimizer_g.step()

    def _logits(self, batch: Batch, sketch: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(batch.photo, sketch).logits[0]
        return logits


def gan_loss(logits: Tensor, real: bool) -> Tensor:
    """Return the binary cross-entropy of a discriminator's logits against one label."""
    return F.binary_cross_entropy_with_logits(logits, torch.tensor(float(real), device=logits.device).expand_as(logits))


def set_requires_grad(network: nn.Module, on: bool) -> None:
    """Switch gradients of all weights on or off."""
    for parameter in network.parameters():
        parameter.requires_grad = on


def with_torch_norms(network: nn.Module) -> nn.Module:
    """Replace our instance norm by torch's, in place."""
    layers: list[nn.Module] = [layer for layer in network.modules() if isinstance(layer, InstanceNorm)]
    for layer in layers:
        layer.__class__ = nn.InstanceNorm2d
    return network
