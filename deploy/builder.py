"""What a backend offers while an engine is built for it; once it is built, deploy.engine.Runtime."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from limner.core.signature import Signature
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.manifest import Precision

if TYPE_CHECKING:  # a module that holds a builder and a runner opens engines without torch
    from torch import nn


@dataclass(frozen=True)
class BuildJob:
    """All that a backend builds an engine from."""

    directory: Path
    """Holds the graph, in the precision requested; engine files go next to it."""
    generator: "nn.Module"
    """fp32, on the CPU, in eval mode."""
    float_signature: Signature
    """The generator's ports."""
    signature: Signature
    """The graph's ports: the same, or images as uint8."""
    batch: BatchProfile
    precision: Precision
    report: Callable[[str], None]
    """Called with a line about each long step and each decision."""


class EngineBuilder(Protocol):
    """Builds engines for one backend, with the options that it was made with."""

    device_type: Literal["cpu", "cuda"]
    """Where its engines run, and the eager generator that they are timed against."""
    runs_here: bool
    """Whether this machine can run its engines."""
    storage_only: tuple[Precision, ...]
    """Precisions in which it may store weights and yet calculate in fp32."""

    def version(self) -> str:
        """The backend's version."""
        ...

    def device(self) -> str:
        """The processor or GPU that it builds for."""
        ...

    def options(self) -> dict[str, Any]:
        """Its options, as the manifest keeps them and its runner takes them."""
        ...

    def check_precision(self, requested: Precision) -> None:
        """Raise UserError for a precision that it does not have here."""
        ...

    def build(self, job: BuildJob) -> None:
        """Write the engine files."""
        ...

    def executed_precision(self, job: BuildJob) -> str | None:
        """The precision that most convolutions run in, by its own report; None where it gives none here."""
        ...
