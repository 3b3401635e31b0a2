"""Options of the CPU backends."""

from dataclasses import dataclass

from limner.core.util.errors import UserError
from limner.deploy.manifest import Hint


@dataclass(frozen=True)
class CpuOptions:
    """How OpenVINO and ONNX Runtime use the processor."""

    threads: int = 0
    """0: as many as the runtime chooses."""
    hint: Hint = "latency"

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UserError(f"threads {self.threads}: must be 0 (the runtime chooses) or more")
