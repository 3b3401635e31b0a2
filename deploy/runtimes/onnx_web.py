"""onnxruntime-web: one ONNX file for web pages, which Node.js runs here by the same wasm."""

import json
import platform
import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from limner.core.signature import Port, Signature
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.backends import BACKENDS, BackendName
from limner.deploy.builder import BuildJob
from limner.deploy.manifest import GRAPH, Manifest, Precision
from limner.deploy.options import BuildOptions

SCRIPT = Path(__file__).with_suffix(".cjs")


class NodeRuntime:
    """A graph of batch 1 in a Node.js process of its own, which runs a batch image by image."""

    def __init__(self, graph: Path, signature: Signature, threads: int = 0) -> None:
        """threads: 0 for as many as onnxruntime-web chooses. UserError where Node.js or onnxruntime-web is missing."""
        self.output = signature.output
        ports = json.dumps([_single(port) for port in (*signature.inputs, signature.output)])
        self.process, _ = _start(str(graph), str(threads), ports)
        self.lock = threading.Lock()

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See deploy.engine.Runtime."""
        batch = len(next(iter(inputs.values())))
        result = np.empty((batch, *self.output.shape), self.output.dtype)
        with self.lock:
            for i, image in enumerate(result):
                image[...] = self._run_one(b"".join(values[i].tobytes() for values in inputs.values()), image)
        return result

    def _run_one(self, values: bytes, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(values)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise _explain(self.process) from None
        image = self.process.stdout.read(like.nbytes)
        if len(image) < like.nbytes:
            raise _explain(self.process)
        return np.frombuffer(image, like.dtype).reshape(like.shape)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def _start(*arguments: str) -> tuple["subprocess.Popen[bytes]", str]:
    """The script's process, ready, and the version of onnxruntime-web."""
    node = shutil.which("node")
    if node is None:
        raise UserError(
            f"backend onnx-web: no Node.js (node) on the PATH: install it, then: {BACKENDS['onnx-web'].install}"
        )
    pipe = subprocess.PIPE
    process = subprocess.Popen([node, str(SCRIPT), *arguments], stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    version = process.stdout.readline().decode().strip()
    if not version:
        raise _explain(process)
    return process, version


def _explain(process: "subprocess.Popen[bytes]") -> Exception:
    """The error that a process ended with."""
    message = (process.communicate()[1].decode().strip().splitlines() or ["no message"])[-1]
    if message == "MODULE_NOT_FOUND":
        return UserError(
            "backend onnx-web: no onnxruntime-web in node_modules here, in a directory above, or in NODE_PATH: "
            f"{BACKENDS['onnx-web'].install}"
        )
    return LimnerError(f"onnxruntime-web: {message}")


def _single(port: Port) -> dict[str, Any]:
    return {"name": port.name, "shape": (1, *port.shape), "dtype": port.dtype}


def open_runtime(directory: Path, manifest: Manifest, options: Mapping[str, Any]) -> NodeRuntime:
    """Open the graph of an engine directory; see deploy.engine.open_runtime."""
    return NodeRuntime(directory / GRAPH, manifest.signature, options["threads"])


class OnnxWebBuilder:
    """onnxruntime-web as deploy.builder.EngineBuilder."""

    device_type: Literal["cpu", "cuda"] = "cpu"
    runs_here = True
    storage_only: tuple[Precision, ...] = ("fp16", "int8")

    def __init__(self, threads: int) -> None:
        """UserError where Node.js or onnxruntime-web is missing."""
        self.threads = threads
        process, self.package_version = _start()
        process.communicate()

    def version(self) -> str:
        """The npm package's version."""
        return self.package_version

    def device(self) -> str:
        """The processor's kind; wasm does not say more."""
        return platform.processor() or platform.machine()

    def options(self) -> dict[str, Any]:
        """Threads."""
        return {"threads": self.threads}

    def check_precision(self, requested: Precision) -> None:
        """Raise UserError for bf16."""
        if requested == "bf16":
            raise UserError("precision bf16: onnxruntime-web has no bf16 convolution: take fp32, fp16 or int8")

    def build(self, job: BuildJob) -> None:
        """Fix the graph's batch to 1, so that a page knows all shapes."""
        from limner.deploy.graph.static import fix_batch  # imports onnx, not needed to run an engine

        fix_batch(job.directory / GRAPH)

    def executed_precision(self, job: BuildJob) -> str | None:
        """fp32 for fp32 and fp16, as wasm has no kernels in half; None for int8, of which it reports nothing."""
        return None if job.precision == "int8" else "fp32"


def make_builder(backend: BackendName, options: BuildOptions) -> OnnxWebBuilder:
    """The builder with a user's options."""
    return OnnxWebBuilder(options.cpu.threads)
