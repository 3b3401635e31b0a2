"""What a user chooses about an engine; the command line is parsed into it."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from limner.core.config import flatten
from limner.deploy.backends import BackendName
from limner.deploy.manifest import Hint, Precision
from limner.deploy.runtimes.options import CpuOptions
from limner.deploy.trt.options import TensorRTOptions


@dataclass(frozen=True)
class BuildOptions:
    """Which engine to build, and how."""

    backend: BackendName | Literal["auto"] = "auto"
    """auto: tensorrt where there are an NVIDIA GPU and the tensorrt package, else openvino."""
    precision: Precision | Literal["auto"] = "auto"
    """auto: fp32 for openvino, onnxruntime, onnx-web and executorch, fp16 for the others."""
    batch: tuple[int, int, int] = (1, 8, 32)
    """The smallest batch that the engine takes, the one that it is tuned for, and the largest."""
    data: Path | None = None
    """A prepared dataset whose images calibrate int8 and are compared; left out: random noise is compared."""
    pixels: bool = False
    """uint8 NHWC images as input and output of the graph itself; not for torch-tensorrt."""
    threads: int | None = None
    """Threads of an engine for CPUs, but executorch; left out or 0: as many as the runtime chooses."""
    hint: Hint | None = None
    """What an engine of openvino or onnxruntime is tuned for; left out: latency."""
    tensorrt: TensorRTOptions = field(default_factory=TensorRTOptions)

    @property
    def cpu(self) -> CpuOptions:
        """`threads` and `hint`, defaults in place of what was left out."""
        given = {"threads": self.threads, "hint": self.hint}
        return CpuOptions(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]

    def given(self) -> list[str]:
        """Command-line names of the options that differ from their default."""
        defaults = flatten(dataclasses.asdict(BuildOptions()))
        values = flatten(dataclasses.asdict(self))
        return [name.replace("_", "-") for name, default in defaults.items() if values[name] != default]
