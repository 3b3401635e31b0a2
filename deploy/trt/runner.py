"""Runs a TensorRT plan: named ports, pinned host buffers, CUDA graphs, several callers at once.

Device memory, streams and graphs are torch's, so that the bindings are the only package needed. Not yet run on a GPU.
"""

import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from limner.core.signature import Port, Signature
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.backends import load_package
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.manifest import GRAPH, Manifest
from limner.deploy.trt.bindings import PlanBackend, check_driver, logger, runs_here

PLAN = "engine.plan"
SLOTS = 2
"""Execution slots per batch size: while one batch is copied, the other computes."""


class Plan:
    """A deserialized plan. A context manager; its owner closes it."""

    def __init__(self, backend: PlanBackend, directory: Path, options: Mapping[str, Any]) -> None:
        """directory: holds the plan, and the graph whose weights a stripped plan gets back; options: the manifest's.

        The plan is code that runs: it must come from this process, or have been checked by the manifest's checksum.
        Raises UserError where there is no driver, or TensorRT refuses the plan.
        """
        self.trt = load_package(backend)
        check_driver(backend)
        log = logger(self.trt)
        self.runtime = self.trt.Runtime(log)
        self.runtime.engine_host_code_allowed = options["version_compatible"]  # such a plan brings its own runtime
        self.engine = self.runtime.deserialize_cuda_engine((directory / PLAN).read_bytes())
        if self.engine is None:
            raise UserError(
                f"{directory / PLAN}: {backend} {self.trt.__version__} on {torch.cuda.get_device_name()} refuses "
                "it (built by another version, for another GPU, or damaged): build the engine again on this machine"
            )
        if options["strip_plan"]:
            refitter = self.trt.Refitter(self.engine, log)
            weights = self.trt.OnnxParserRefitter(refitter, log)
            if not (weights.refit_from_file(str(directory / GRAPH)) and refitter.refit_cuda_engine()):
                raise UserError(f"{directory / PLAN}: cannot take its weights from {GRAPH}: build the engine again")

    def context(self) -> Any:
        """Create an execution context; LimnerError where TensorRT cannot, for lack of GPU memory."""
        context = self.engine.create_execution_context()
        if context is None:
            raise LimnerError(
                f"{PLAN}: TensorRT could not create an execution context, most likely for lack of GPU memory: free some"
            )
        return context

    def layers(self, signature: Signature, batch: int) -> str:
        """The inspector's report on all layers at one batch size, as JSON.

        Without a context whose shapes are known the formats of a plan with dynamic shapes are not reported.
        """
        context = self.context()
        tensors = self.tensors(signature)
        for port in signature.inputs:
            context.set_input_shape(tensors[port.name], (batch, *port.shape))
        inspector = self.engine.create_engine_inspector()
        inspector.execution_context = context
        return str(inspector.get_engine_information(self.trt.LayerInformationFormat.JSON))

    def tensors(self, signature: Signature) -> dict[str, str]:
        """The plan's tensor for each port: by name, or by order where an exporter chose other names.

        Raises UserError where number or types are not the signature's.
        """
        names = [self.engine.get_tensor_name(i) for i in range(self.engine.num_io_tensors)]
        inputs = [name for name in names if self.engine.get_tensor_mode(name) == self.trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        ports = (*signature.inputs, signature.output)
        wanted = [port.name for port in signature.inputs]
        ordered = (*(wanted if set(wanted) == set(inputs) else inputs), *outputs)
        types = [np.dtype(self.trt.nptype(self.engine.get_tensor_dtype(name))) for name in ordered]
        if (len(inputs), len(outputs)) != (len(wanted), 1) or types != [np.dtype(port.dtype) for port in ports]:
            raise UserError(f"{PLAN}: its tensors {names} are not those of the manifest: build the engine again")
        return {port.name: name for port, name in zip(ports, ordered, strict=True)}

    def close(self) -> None:
        """Free the device memory."""
        del self.engine, self.runtime

    def __enter__(self) -> "Plan":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Slot:
    """One execution context with its own stream and buffers, and for a fixed batch size its CUDA graph.

    A graph keeps addresses and shapes of its context, so each batch size that has a graph has its own contexts.
    """

    def __init__(self, plan: Plan, signature: Signature, batch: int, fixed: bool) -> None:
        """batch: the size if `fixed`, else the largest."""
        self.context = plan.context()
        self.stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.signature = signature
        self.tensors = plan.tensors(signature)
        ports = (*signature.inputs, signature.output)
        self.host = {port.name: _buffer(port, batch, pinned=True) for port in ports}
        self.device = {port.name: _buffer(port, batch, pinned=False) for port in ports}
        for port in ports:
            self.context.set_tensor_address(self.tensors[port.name], self.device[port.name].data_ptr())
        self.graph: torch.cuda.CUDAGraph | None = None
        if fixed:
            with torch.cuda.stream(self.stream):
                self._enqueue(batch)  # TensorRT allocates for a shape on its first run, which must not be captured
            self.stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                self._enqueue(batch)
            self.graph = graph

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        batch = len(next(iter(inputs.values())))
        for name, values in inputs.items():
            self.host[name][:batch].copy_(torch.from_numpy(values))
        with torch.cuda.stream(self.stream):
            if self.graph is None:
                self._enqueue(batch)
            else:
                self.graph.replay()
        self.stream.synchronize()
        return np.array(self.host[self.signature.output.name][:batch].numpy())

    def _enqueue(self, batch: int) -> None:
        """Copy in, compute, copy out, all on the current stream."""
        for port in self.signature.inputs:
            self.device[port.name][:batch].copy_(self.host[port.name][:batch], non_blocking=True)
            self.context.set_input_shape(self.tensors[port.name], (batch, *port.shape))
        if not self.context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError(f"TensorRT could not enqueue a batch of {batch}; its own messages are above")
        name = self.signature.output.name
        self.host[name][:batch].copy_(self.device[name][:batch], non_blocking=True)


def _buffer(port: Port, batch: int, pinned: bool) -> torch.Tensor:
    dtype: torch.dtype = getattr(torch, port.dtype)
    return torch.empty((batch, *port.shape), dtype=dtype, pin_memory=pinned, device="cpu" if pinned else "cuda")


class TensorRTRuntime:
    """A plan with execution slots: with CUDA graphs at the profile's three sizes, without at all others."""

    def __init__(self, plan: Plan, signature: Signature, batch: BatchProfile) -> None:
        """Owns `plan`, and closes it."""
        self.plan, self.signature, self.batch = plan, signature, batch
        self.idle: dict[int, queue.LifoQueue[_Slot]] = {}
        self.created: dict[int, int] = {}
        self.lock = threading.Lock()

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See deploy.engine.Runtime."""
        size = len(next(iter(inputs.values())))
        key = size if size in self.batch.sizes() else 0
        slot = self._acquire(key)
        try:
            return slot.run(inputs)
        finally:
            self.idle[key].put(slot)

    def _acquire(self, key: int) -> _Slot:
        """An idle slot for a batch size (0: any); a new one while there are fewer than SLOTS, else wait for one."""
        with self.lock:
            idle = self.idle.setdefault(key, queue.LifoQueue())
            if idle.empty() and self.created.get(key, 0) < SLOTS:
                slot = _Slot(self.plan, self.signature, key or self.batch.maximum, fixed=bool(key))
                self.created[key] = self.created.get(key, 0) + 1
                return slot
        return idle.get()

    def close(self) -> None:
        """Free contexts, then the plan."""
        self.idle.clear()
        self.plan.close()


def check_origin(directory: Path, manifest: Manifest, version: str, any_version: bool) -> None:
    """Raise UserError where the software's version or the GPU here is not the one that an engine was built for.

    any_version: whether the engine runs on later versions too.
    """
    backend, built_by = manifest.backend, manifest.backend_version
    if version != built_by and not any_version:
        raise UserError(
            f"{directory}: built by {backend} {built_by}, here is {version}: build it again, or install {built_by}"
        )
    check_driver(backend)
    device = torch.cuda.get_device_name()
    if backend == "tensorrt-rtx":
        if not runs_here(backend):
            raise UserError(f"{directory}: tensorrt-rtx does not run on {device}: build it for another backend")
    elif manifest.options["hardware"] == "this" and device != manifest.device:
        raise UserError(f"{directory}: built for {manifest.device}, here is {device}: build it again on this machine")


def open_runtime(directory: Path, manifest: Manifest, options: Mapping[str, Any]) -> TensorRTRuntime:
    """Open the plan of an engine directory; see deploy.engine.open_runtime.

    Raises UserError, before it touches the plan, where TensorRT's version or the GPU is not the one it was built for.
    """
    backend: PlanBackend = "tensorrt-rtx" if manifest.backend == "tensorrt-rtx" else "tensorrt"
    check_origin(directory, manifest, load_package(backend).__version__, any_version=options["version_compatible"])
    return TensorRTRuntime(Plan(backend, directory, options), manifest.signature, manifest.batch)
