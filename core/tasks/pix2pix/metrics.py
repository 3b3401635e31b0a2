"""What a pix2pix run validates by: errors of generated sketches against the real ones, and which way is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from limner.core.tasks.task import Metric

if TYPE_CHECKING:  # a task is also what a command line offers, whose help does not wait for torch
    import torch
    from torch import Tensor


Measure: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"


@dataclass(frozen=True)
class ValidationMetric(Metric):
    """A metric of a generated image against the real one."""

    open: Callable[[torch.device], Measure]
    """Device to compute on -> a function of generated and real images, (N, 3, S, S) in [-1, 1] on the CPU, that gives
    (N,) on the CPU. UserError, with what to do, where it cannot be computed on this machine."""


def _open_l1(device: torch.device) -> Measure:
    """Mean absolute error as a fraction of full range; cheap enough for the CPU."""
    return lambda generated, real: (generated - real).abs().mean(dim=(1, 2, 3)) / 2.0


def _open_lpips(device: torch.device) -> Measure:
    from limner.core.perceptual.lpips import Lpips
    from limner.core.tasks.validation import evaluating

    lpips = Lpips("alex").to(device)

    def measure(generated: Tensor, real: Tensor) -> Tensor:
        with evaluating(lpips):
            distances: Tensor = lpips(generated.to(device), real.to(device))
        return distances.cpu()

    return measure


VALIDATION_METRICS = {
    "validation/l1": ValidationMetric("lower", _open_l1),
    "validation/lpips-alex": ValidationMetric("lower", _open_lpips),
}
"""By the names that are logged."""
