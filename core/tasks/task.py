"""What a task is to the rest of the project: see docs/extending.md for how to add one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from limner.core.config import Fit, TrainConfig

if TYPE_CHECKING:  # a task is also what a command line offers, whose help does not wait for torch
    import torch

    from limner.core.batch import Batch
    from limner.core.training.model import Model


@dataclass(frozen=True)
class Preset:
    """A complete config, and where its values come from, what it is for and what to expect of it."""

    config: TrainConfig
    promise: str


@dataclass(frozen=True)
class DataFacts:
    """What a task knows of a dataset."""

    name: str
    fit: Fit
    """How images were made square."""
    styles: tuple[str, ...]
    """Names of the styles, or of the classes by which images are conditioned."""


@dataclass(frozen=True)
class ValidationPlan:
    """Which images a task validates on."""

    splits: tuple[str, ...]
    """In order of preference: the first that is not empty is taken."""
    count: int
    """Images at most."""
    batch_size: int
    spread: bool = False
    """Whether to take them evenly from the whole split, else from its start."""


@dataclass(frozen=True)
class Validation:
    """Images without augmentation, always the same."""

    batches: Sequence[Batch]
    held_out: bool
    """Whether they are kept out of training."""


class Task(Protocol):
    """One row of TASKS."""

    @property
    def name(self) -> str:
        """As users type it, and its key in TASKS."""
        ...

    @property
    def config(self) -> type[TrainConfig]:
        """What a run of it has."""
        ...

    @property
    def presets(self) -> Mapping[str, Preset]:
        """Named runs; `demo` is taken if none is named."""
        ...

    @property
    def paired(self) -> bool:
        """Whether it learns from pairs of photo and sketch, else from photos alone."""
        ...

    def label(self, config: Any) -> str | None:
        """The attribute of the dataset by which images are conditioned in place of its styles; None: the styles."""
        ...

    def resolve(self, config: Any, data: DataFacts) -> TrainConfig:
        """The config with what follows from the data; UserError where they do not go together."""
        ...

    def validation(self, config: Any) -> ValidationPlan:
        """Which images to validate on."""
        ...

    def build(self, config: Any, data: DataFacts, validation: Validation, device: torch.device) -> Model:
        """Build the networks, on the CPU, and the rest; `config` is resolved."""
        ...
