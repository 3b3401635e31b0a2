"""ONNX Runtime on the CPU."""

import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import onnx
import onnxruntime

from limner.core.util.errors import UserError
from limner.deploy.manifest import Hint, Manifest, Precision
from limner.deploy.target import GRAPH, Work


class OnnxRuntime:
    """One session, which several threads may share."""

    def __init__(self, graph: Path, threads: int = 0, hint: Hint = "latency") -> None:
        """threads: 0 for as many as there are cores. hint: throughput keeps idle threads from spinning."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if hint == "latency" else "0")
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See deploy.engine.Runtime."""
        result: npt.NDArray[Any] = self.session.run(None, dict(inputs))[0]
        return result

    def close(self) -> None:
        """Drop the session."""
        del self.session


def open_runtime(directory: Path, manifest: Manifest, options: Mapping[str, Any]) -> OnnxRuntime:
    """The runtime of an engine directory; see deploy.engine.open_runtime."""
    return OnnxRuntime(directory / GRAPH, options["threads"], options["hint"])


class OnnxRuntimeTarget:
    """The backend as deploy.target.Target."""

    device_type: Literal["cpu", "cuda"] = "cpu"
    runs_here = True
    storage_only: tuple[Precision, ...] = ("fp16", "int8")

    def __init__(self, threads: int, hint: Hint) -> None:
        """See OnnxRuntime."""
        self.threads, self.hint = threads, hint

    def version(self) -> str:
        """Of the package."""
        return str(onnxruntime.__version__)

    def device(self) -> str:
        """The processor's kind; ONNX Runtime does not say more."""
        return platform.processor() or platform.machine()

    def check(self, asked: Precision) -> None:
        """UserError for bf16."""
        if asked == "bf16":
            raise UserError(
                "precision bf16: onnxruntime has no bf16 convolution on CPUs: take fp32 or int8, or openvino"
            )

    def make(self, work: Work) -> None:
        """Nothing: ONNX Runtime reads the graph itself."""

    def settings(self) -> dict[str, Any]:
        """The options as a manifest keeps them."""
        return {"threads": self.threads, "hint": self.hint}

    def executed(self, work: Work) -> str:
        """The precision that most convolutions run in, from the graph as ONNX Runtime rewrites it for the CPU.

        fp16 runs in fp32 between casts; so do int8 convolutions that no quantiser follows.
        """
        with tempfile.TemporaryDirectory() as scratch:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.optimized_model_filepath = str(Path(scratch) / "optimized.onnx")
            onnxruntime.InferenceSession(str(work.directory / GRAPH), options, providers=["CPUExecutionProvider"])
            nodes = onnx.load_model(options.optimized_model_filepath).graph.node
        names = [node.op_type for node in nodes if "Conv" in node.op_type]
        return "int8" if 2 * sum(name.startswith("QLinear") for name in names) > len(names) else "fp32"
