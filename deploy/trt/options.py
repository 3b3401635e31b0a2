"""Options of TensorRT, TensorRT-RTX and Torch-TensorRT; the table in deploy.backends lists which of them each has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from limner.core.util.errors import UserError


@dataclass(frozen=True)
class TensorRTOptions:
    """How TensorRT builds a plan."""

    workspace_gb: float = 2.0
    """Scratch memory that a layer may use, in GiB; too little looks like a missing implementation."""
    level: int = 3
    """Builder optimisation level, 0 (fast build) to 5 (fast engine)."""
    tf32: bool = False
    """Let fp32 convolutions round their inputs to 10 bits, where the GPU is faster with that."""
    timing_cache: Path | None = None
    """File of kernel timings that is read, added to and written, which makes the next build faster; not for
    TensorRT-RTX."""
    refit: bool = False
    """Allow the plan's weights to be replaced by others of the same shapes."""
    strip_plan: bool = False
    """Leave the weights out of the plan; they are put back from the ONNX file next to it. Implies refit; not for
    Torch-TensorRT."""
    version_compatible: bool = False
    """The plan also runs on later TensorRT versions; slower; not for TensorRT-RTX."""
    bare: bool = False
    """Write a raw TensorRT plan, for the runner of backend tensorrt, not a saved program; Torch-TensorRT only."""
    hardware: Literal["this", "ampere-plus", "same-compute-capability"] = "this"
    """GPUs that the plan runs on: this model only, Ampere and later, or any with this one's compute capability
    (TensorRT only); not for TensorRT-RTX."""

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 5:
            raise UserError(f"tensorrt.level {self.level}: must be 0 to 5")
        if self.workspace_gb <= 0:
            raise UserError(f"tensorrt.workspace-gb {self.workspace_gb}: must be more than 0")
