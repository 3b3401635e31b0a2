"""What a backend is while an engine is built for it; what it is afterwards is deploy.engine.Runtime."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import nn

from limner.core.signature import Signature
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.manifest import Precision

GRAPH = "model.onnx"
"""The graph in every engine directory; the engine itself for CPU backends."""


@dataclass(frozen=True)
class Work:
    """All that a backend may build from."""

    directory: Path
    """Holds the graph, in the precision asked for; engine files go beside it."""
    generator: nn.Module
    """fp32, on the CPU, in eval mode."""
    floats: Signature
    """The generator's ports."""
    signature: Signature
    """The graph's: the same, or with pixels."""
    batch: BatchProfile
    precision: Precision
    report: Callable[[str], None]
    """Told in a line of what takes long or was decided."""


class Target(Protocol):
    """A backend to build for."""

    device_type: Literal["cpu", "cuda"]
    """Where its engines run, and the eager generator that they are timed beside."""
    runs_here: bool
    """Whether this machine can run what it builds."""
    storage_only: tuple[Precision, ...]
    """Precisions in which it may store weights and yet calculate in fp32."""

    def version(self) -> str:
        """The backend's own."""
        ...

    def device(self) -> str:
        """The processor or GPU that it builds for."""
        ...

    def settings(self) -> dict[str, Any]:
        """Its options, as its runtime takes them and a manifest keeps them."""
        ...

    def check(self, asked: Precision) -> None:
        """UserError for a precision that it does not have here."""
        ...

    def make(self, work: Work) -> None:
        """Write the engine files."""
        ...

    def executed(self, work: Work) -> str:
        """The precision that most convolutions run in, from its own report; "unknown" where it gives none here."""
        ...
