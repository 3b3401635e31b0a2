"""What a task is to the rest of the project: see docs/extending.md for how to add one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal, Protocol

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
    stratified: bool = False
    """Whether styles take turns, so that each gives as many images as it can; else images are taken as they come."""

    def choose(self, styles: Sequence[int]) -> list[int]:
        """Choose images from all over a split; `styles` are those of its images. Returns their numbers in order."""
        groups = [list(range(len(styles)))]
        if self.stratified:
            groups = [[number for number, one in enumerate(styles) if one == style] for style in sorted(set(styles))]
        quota = max(1, self.count // len(groups))
        turns = zip_longest(*(_spread(group, quota) for group in groups))
        return [number for turn in turns for number in turn if number is not None][: self.count]


def _spread(numbers: Sequence[int], count: int) -> list[int]:
    """Reorder numbers so that the first `count` come evenly from all of them."""
    step = max(1, len(numbers) // count)
    return [number for first in range(step) for number in numbers[first::step]]


@dataclass(frozen=True)
class Metric:
    """A number that a validator computes."""

    better: Literal["lower", "higher"]


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

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """What its validator may compute, by name; the first picks the best checkpoint if `keep_best` names none."""
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
