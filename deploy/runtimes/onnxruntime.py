"""ONNX Runtime on the CPU: builds and runs engines, which are the ONNX graph itself."""

import dataclasses
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import onnxruntime

from limner.core.util.errors import UserError
from limner.deploy.backends import BackendName
from limner.deploy.builder import BuildJob
from limner.deploy.manifest import GRAPH, Hint, Manifest, Precision
from limner.deploy.options import BuildOptions
from limner.deploy.runtimes.options import CpuOptions


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
    """Open the graph of an engine directory; see deploy.engine.open_runtime."""
    return OnnxRuntime(directory / GRAPH, options["threads"], options["hint"])


class OnnxRuntimeBuilder:
    """ONNX Runtime as deploy.builder.EngineBuilder."""

    device_type: Literal["cpu", "cuda"] = "cpu"
    runs_here = True
    storage_only: tuple[Precision, ...] = ("fp16", "int8")

    def __init__(self, options: CpuOptions) -> None:
        self.cpu_options = options

    def version(self) -> str:
        """The package's version."""
        return str(onnxruntime.__version__)

    def device(self) -> str:
        """The processor's kind; ONNX Runtime does not say more."""
        return platform.processor() or platform.machine()

    def options(self) -> dict[str, Any]:
        """Threads and hint."""
        return dataclasses.asdict(self.cpu_options)

    def check_precision(self, requested: Precision) -> None:
        """Raise UserError for bf16."""
        if requested == "bf16":
            raise UserError(
                "precision bf16: onnxruntime has no bf16 convolution on CPUs: take fp32 or int8, or openvino"
            )

    def build(self, job: BuildJob) -> None:
        """Write nothing, as ONNX Runtime reads the graph itself."""

    def executed_precision(self, job: BuildJob) -> str:
        """The precision that most convolutions run in, from the graph as ONNX Runtime rewrites it for the CPU.

        fp16 runs in fp32 between casts; so do int8 convolutions that no quantiser follows.
        """
        import onnx  # not needed to run an engine

        with tempfile.TemporaryDirectory() as scratch:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.optimized_model_filepath = str(Path(scratch) / "optimized.onnx")
            onnxruntime.InferenceSession(str(job.directory / GRAPH), options, providers=["CPUExecutionProvider"])
            nodes = onnx.load_model(options.optimized_model_filepath).graph.node
        names = [node.op_type for node in nodes if "Conv" in node.op_type]
        return "int8" if 2 * sum(name.startswith("QLinear") for name in names) > len(names) else "fp32"


def make_builder(backend: BackendName, options: BuildOptions) -> OnnxRuntimeBuilder:
    """The builder with a user's options."""
    return OnnxRuntimeBuilder(options.cpu)
