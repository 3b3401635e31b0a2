"""What networks are trained for: phases as data, each with its loss and regulariser."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from limner.core.batch import Batch

Losses = tuple[Tensor, dict[str, Tensor]]
"""A scalar to minimise, and named scalars to log; all on the device."""
Networks = Mapping[str, nn.Module]
"""By name."""
Loss = Callable[[Networks, Batch, Any], Losses]
"""Networks, a batch and what `Objective.generate` made of it -> losses."""


@dataclass(frozen=True)
class Phase:
    """One optimizer's part of a step: which network it trains, by which loss; the others are frozen in it."""

    network: str
    """Name of the network, and of the phase in logs."""
    loss: Loss
    regulariser: Loss | None = None
    """Added to the loss every `interval` steps, weighted `interval` times (Karras et al. 2020, "lazy regularization");
    computed in fp32 on networks without wrappers, so that it may differentiate twice."""
    interval: int = 1
    lr_factor: float = 1.0
    """Learning rate as a multiple of the run's."""


class Objective:
    """A GAN objective: what generators make of a batch, and the phases of a step in their order."""

    phases: Sequence[Phase]

    def generate(self, networks: Networks, batch: Batch) -> Any:
        """Run the generators on a batch; every phase's loss gets the result, with gradients: detach where needed."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """What must survive a crash, as tensors and plain values; empty for objectives without a state of their own."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        assert not state, f"{type(self).__name__} has no state, got {sorted(state)}"
