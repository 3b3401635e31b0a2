"""One training step: the phases of an objective, one after the other. Never waits for the device."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from limner.core.batch import Batch
from limner.core.config import OptimizerConfig
from limner.core.training.ema import Ema
from limner.core.training.objective import Networks, Objective, Phase
from limner.core.training.precision import MixedPrecision


def adam(network: nn.Module, config: OptimizerConfig) -> Adam:
    """Make fused Adam over the trainable weights of `network`."""
    return Adam(trainable(network), lr=config.lr, betas=(config.beta1, config.beta2), fused=True)


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The weights of `network` that have gradients."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


@dataclass
class TrainedNetwork:
    """A network with its optimizer; `wrapped` is how it is called in its own phase, where workers share gradients."""

    network: nn.Module
    wrapped: nn.Module
    optimizer: Optimizer

    def __post_init__(self) -> None:
        self._weights = trainable(self.network)

    def freeze(self, frozen: bool) -> None:
        """Keep gradients from the weights that the optimizer trains, or let them through again."""
        for weight in self._weights:
            weight.requires_grad_(not frozen)

    def accumulating(self, last: bool) -> AbstractContextManager[Any]:
        """Where several batches make one step, gradients are exchanged after the last only."""
        no_sync = getattr(self.wrapped, "no_sync", None)
        return no_sync() if no_sync is not None and not last else nullcontext()


class TrainingStep:
    """Runs every phase: zero gradients, loss, backward, optimizer step; then updates the averages."""

    def __init__(
        self,
        objective: Objective,
        networks: Mapping[str, TrainedNetwork],
        precision: MixedPrecision,
        averages: Mapping[str, Ema],
    ) -> None:
        """averages: of the networks of these names."""
        self.objective = objective
        self.networks = networks
        self.precision = precision
        self.averages = averages
        self._bare = {name: trained.network for name, trained in networks.items()}
        self._first_bad = torch.full((), torch.inf, dtype=torch.float64, device=precision.device)

    def __call__(self, batches: Sequence[Batch], seen_images: int, step_images: int, lr: float) -> dict[str, Tensor]:
        """Learn from `batches`, whose gradients are averaged.

        seen_images: of the whole job after this step; step_images: how many of them this step adds; lr: learning rate.
        Returns scalars on the device, averaged over the batches of this worker.
        """
        # With one batch the generators run once for all phases; with several, keeping all their graphs alive would cost
        # the memory that accumulation is there to save.
        shared = None
        if len(batches) == 1:
            self._freeze_all_but(self.networks)
            shared = self._generate({name: trained.wrapped for name, trained in self.networks.items()}, batches[0])
        stats: dict[str, Tensor] = {}
        for phase in self.objective.phases:
            regularise = phase.regulariser is not None and seen_images // step_images % phase.interval == 0
            stats |= self._run_phase(phase, batches, shared, regularise, lr)
        for name, average in self.averages.items():
            average.update(self._bare[name], seen_images, step_images)
        self._check_finite(stats, seen_images)
        return stats

    def _run_phase(
        self, phase: Phase, batches: Sequence[Batch], shared: Any, regularise: bool, lr: float
    ) -> dict[str, Tensor]:
        trained = self.networks[phase.network]
        for group in trained.optimizer.param_groups:
            group["lr"] = lr * phase.lr_factor
        trained.optimizer.zero_grad(set_to_none=True)
        self._freeze_all_but([phase.network])
        networks = {**self._bare, phase.network: trained.wrapped}
        totals: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            with trained.accumulating(last=number == len(batches) - 1):
                generated = self._generate(networks, batch) if shared is None else shared
                with self.precision.autocast():
                    loss, stats = phase.loss(networks, batch, generated)
                if regularise:  # one backward with the loss, so that workers exchange gradients once
                    assert phase.regulariser is not None
                    penalty, more = phase.regulariser(self._bare, batch, generated)
                    loss, stats = loss + phase.interval * penalty, stats | more
                self.precision.backward(loss / len(batches), phase.network)
            for name, value in stats.items():
                totals[name] = totals.get(name, 0.0) + value.detach() / len(batches)
        totals[f"gradient_norm/{phase.network}"] = self.precision.step(trained.optimizer, phase.network)
        return totals

    def _freeze_all_but(self, names: Iterable[str]) -> None:
        for name, trained in self.networks.items():
            trained.freeze(name not in names)

    def _generate(self, networks: Networks, batch: Batch) -> Any:
        with self.precision.autocast():
            return self.objective.generate(networks, batch)

    def _check_finite(self, stats: dict[str, Tensor], seen_images: int) -> None:
        checked = [value for name, value in stats.items() if not self._may_overflow(name)]
        bad = ~torch.isfinite(torch.stack(checked)).all()
        self._first_bad = torch.where(bad, self._first_bad.clamp(max=float(seen_images)), self._first_bad)

    def _may_overflow(self, name: str) -> bool:
        return self.precision.skips_overflow and name.startswith("gradient_norm/")

    def first_non_finite(self) -> Tensor:
        """Images seen when a loss or gradient was first not finite, inf if none was; a float64 scalar on the device."""
        return self._first_bad
