"""Training steps over small networks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from limner.core.config import OptimizerConfig
from limner.core.training.ema import Ema
from limner.core.training.objective import Objective
from limner.core.training.precision import MixedPrecision
from limner.core.training.step import TrainedNetwork, TrainingStep, adam


@pytest.fixture
def make_step() -> Callable[..., TrainingStep]:
    """A step over a generator and a discriminator; `ema_images`: half-life of the generator's average."""

    def make(
        objective: Objective,
        generator: nn.Module,
        discriminator: nn.Module,
        precision: Any = "fp32",
        device: torch.device = torch.device("cpu"),  # noqa: B008
        ema_images: float | None = None,
    ) -> TrainingStep:
        mixed = MixedPrecision(precision, device)
        networks = {}
        for name, network in {"generator": generator, "discriminator": discriminator}.items():
            network.to(device, memory_format=mixed.memory_format)  # type: ignore[call-overload]
            networks[name] = TrainedNetwork(network, network, adam(network, OptimizerConfig()))
        averages = {} if ema_images is None else {"generator": Ema(generator, ema_images)}
        return TrainingStep(objective, networks, mixed, averages)

    return make
