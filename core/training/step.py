"""One training step of a generator and a discriminator, whatever law they follow. Never waits for the device."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from limner.core.batch import Batch
from limner.core.config import OptimizerConfig
from limner.core.losses import Losses
from limner.core.training.ema import Ema
from limner.core.training.precision import MixedPrecision


class Law(Protocol):
    """What two networks play for: losses as scalars to minimise, with named scalars to watch."""

    penalty_interval: int
    """Steps from one penalty on the discriminator to the next; 0: none."""

    def generate(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Images of the generator for a batch, with gradients."""

    def discriminator_loss(self, discriminator: nn.Module, batch: Batch, fake: Tensor) -> Losses:
        """Loss of the discriminator; `fake` is detached."""

    def penalty(self, discriminator: nn.Module, batch: Batch, fake: Tensor) -> Losses:
        """What is added to that every `penalty_interval` steps; computed in fp32 on the bare discriminator."""

    def generator_loss(self, discriminator: nn.Module, batch: Batch, fake: Tensor) -> Losses:
        """Loss of the generator through a frozen discriminator."""


def adam(network: nn.Module, config: OptimizerConfig) -> Adam:
    """Fused Adam over the weights of `network` that are to be trained."""
    return Adam(trainable(network), lr=config.lr, betas=(config.beta1, config.beta2), fused=True)


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The weights of `network` that have gradients."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


@dataclass
class Phase:
    """A player: its network, bare and as it is called in its own phase (wrapped where workers share gradients)."""

    name: str
    network: nn.Module
    wrapped: nn.Module
    optimizer: Optimizer
    lr_factor: float = 1.0
    """This player's learning rate as a multiple of the run's."""

    def __post_init__(self) -> None:
        self._weights = trainable(self.network)

    def freeze(self, frozen: bool) -> None:
        """Stop, or let again, gradients reach the weights that this player trains."""
        for weight in self._weights:
            weight.requires_grad_(not frozen)

    def accumulating(self, last: bool) -> AbstractContextManager[Any]:
        """Where several batches make one step, gradients are exchanged after the last only."""
        no_sync = getattr(self.wrapped, "no_sync", None)
        return no_sync() if no_sync is not None and not last else nullcontext()


class TrainingStep:
    """Discriminator phase, then generator phase, each: zero gradients, loss, backward, optimizer step."""

    def __init__(
        self, law: Law, generator: Phase, discriminator: Phase, precision: MixedPrecision, ema: Ema | None
    ) -> None:
        self.law = law
        self.generator = generator
        self.discriminator = discriminator
        self.precision = precision
        self.ema = ema
        device = precision.device
        self._first_bad = torch.full((), torch.inf, dtype=torch.float64, device=device)

    def __call__(self, batches: Sequence[Batch], seen_images: int, step_images: int, lr: float) -> dict[str, Tensor]:
        """Learn from `batches`, whose gradients are averaged.

        seen_images: of the whole job after this step; step_images: how many of them this step adds. Returns scalars on
        the device, averaged over the batches of this worker.
        """
        for phase in (self.generator, self.discriminator):
            for group in phase.optimizer.param_groups:
                group["lr"] = lr * phase.lr_factor
        self.discriminator.freeze(False)
        # With one batch the generator runs once for both phases; with several, keeping all their graphs alive would
        # cost the memory that accumulation is there to save.
        shared = self._generate(batches[0]) if len(batches) == 1 else None
        every = self.law.penalty_interval
        penalise = every > 0 and seen_images // step_images % every == 0
        stats = self._run_phase(self.discriminator, batches, shared, penalise)
        self.discriminator.freeze(True)
        stats |= self._run_phase(self.generator, batches, shared)
        if self.ema is not None:
            self.ema.update(self.generator.network, seen_images, step_images)
        self._watch(stats, seen_images)
        return stats

    def _run_phase(
        self, phase: Phase, batches: Sequence[Batch], shared: Tensor | None, penalise: bool = False
    ) -> dict[str, Tensor]:
        phase.optimizer.zero_grad(set_to_none=True)
        playing_generator = phase is self.generator
        totals: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            with phase.accumulating(last=number == len(batches) - 1):
                if shared is not None:
                    fake = shared
                else:
                    with torch.set_grad_enabled(playing_generator):
                        fake = self._generate(batch)
                with self.precision.autocast():
                    if playing_generator:
                        loss, stats = self.law.generator_loss(self.discriminator.network, batch, fake)
                    else:
                        loss, stats = self.law.discriminator_loss(phase.wrapped, batch, fake.detach())
                if penalise:  # one backward with the loss, so that workers exchange gradients once
                    penalty, more = self.law.penalty(phase.network, batch, fake.detach())
                    loss, stats = loss + self.law.penalty_interval * penalty, stats | more
                self.precision.backward(loss / len(batches), phase.name)
            for name, value in stats.items():
                totals[name] = totals.get(name, 0.0) + value.detach() / len(batches)
        totals[f"gradient_norm/{phase.name}"] = self.precision.step(phase.optimizer, phase.name)
        return totals

    def _generate(self, batch: Batch) -> Tensor:
        with self.precision.autocast():
            return self.law.generate(self.generator.wrapped, batch)

    def _watch(self, stats: dict[str, Tensor], seen_images: int) -> None:
        watched = [value for name, value in stats.items() if not self._excused(name)]
        bad = ~torch.isfinite(torch.stack(watched)).all()
        self._first_bad = torch.where(bad, self._first_bad.clamp(max=float(seen_images)), self._first_bad)

    def _excused(self, name: str) -> bool:
        return self.precision.skips_overflow and name.startswith("gradient_norm/")

    def first_non_finite(self) -> Tensor:
        """Images seen when a loss or gradient was first not finite, inf if none was; a float64 scalar on the device."""
        return self._first_bad
