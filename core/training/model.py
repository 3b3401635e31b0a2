"""All that is trained in a run, as its task builds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from limner.core.bundle import BundleConfig
from limner.core.images import Uint8Image
from limner.core.training.objective import Objective


class Validator(Protocol):
    """How a task validates its generators; called on rank 0, with their averages by name."""

    def sample_grid(self, generators: Mapping[str, nn.Module]) -> Uint8Image:
        """Make an image grid of the same fixed inputs each time, (H, W, 3) uint8."""

    def evaluate(self, generators: Mapping[str, nn.Module], seen_images: int) -> dict[str, float]:
        """Compute metrics by name; empty if there is nothing to measure on. LimnerError to stop the run."""


@dataclass(frozen=True)
class Model:
    """Networks, what they are trained for, and how their generators are validated and exported."""

    networks: dict[str, nn.Module]
    """By name, on the CPU, with initial weights."""
    objective: Objective
    validator: Validator
    bundles: dict[str, tuple[str, BundleConfig]]
    """Directory within the run -> the generator that is exported there, by name, and its config. These are averaged."""
