"""Runs a graph in OpenVINO on the CPU."""

import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino

from limner.deploy.batch_profile import BatchProfile
from limner.deploy.manifest import GRAPH, Hint, Manifest, Precision
from limner.deploy.runtimes.openvino.rewrite import replace_tanh, use_unsigned
from limner.deploy.runtimes.openvino.winograd import transform_large

ARITHMETIC: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f32", "int8": "f32"}
"""OpenVINO's precision hint for each precision requested. By default it takes bf16 for an fp32 graph where it can; fp16
is a storage format on CPUs; in an int8 graph the hint is for what is not quantised."""
ANY_SIZE = -1
"""How OpenVINO writes a dynamic dimension."""


class OpenVinoRuntime:
    """A graph compiled at first use for each size of a batch profile, and once more for all sizes between.

    With a static size OpenVINO plans its memory: a U-Net of width 16 takes 0.82 of the time at any batch size, one of
    width 64 0.96. Each size that is used holds its own weights, 0.2 GB at width 64 (0.3 with Winograd's convolutions),
    and takes a second more the first time. OpenVINO's number of streams limits how many batches run at once, of all
    sizes together; other callers wait for an execution slot.
    """

    def __init__(
        self,
        graph: Path,
        precision: Precision,
        batch: BatchProfile,
        threads: int = 0,
        hint: Hint = "latency",
        winograd: bool = False,
    ) -> None:
        """threads: 0 for as many as OpenVINO chooses; winograd: see deploy.runtimes.openvino.winograd."""
        self.config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": ARITHMETIC[precision],
            "PERFORMANCE_HINT": hint.upper(),
        }
        if threads:
            self.config["INFERENCE_NUM_THREADS"] = threads
        self.core = openvino.Core()
        self.model = self.core.read_model(str(graph))
        replace_tanh(self.model)
        use_unsigned(self.model)
        self.transformed = transform_large(self.model) if winograd else 0
        self.compiled: dict[int, openvino.CompiledModel] = {}
        self.compiling = {size: threading.Lock() for size in (*batch.sizes(), ANY_SIZE)}
        self.slots: queue.Queue[dict[int, Any]] = queue.Queue()
        self.making_slots = threading.Lock()
        self.streams = 0

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See deploy.engine.Runtime."""
        size = len(next(iter(inputs.values())))
        size = size if size in self.compiling else ANY_SIZE
        with self.compiling[size]:  # does not block callers of other sizes
            if size not in self.compiled:
                self.compiled[size] = self.compile(size)
        slot = self._slots(self.compiled[size]).get()
        try:
            if size not in slot:
                slot[size] = self.compiled[size].create_infer_request()
            return np.array(slot[size].infer(dict(inputs), share_inputs=True)[0])
        finally:
            self.slots.put(slot)

    def compile(self, size: int) -> openvino.CompiledModel:
        """Compile the graph for batches of `size`, or of ANY_SIZE."""
        model = self.model.clone()
        shapes = {}
        for port in model.inputs:
            shapes[port] = port.partial_shape
            shapes[port][0] = size
        model.reshape(shapes)
        return self.core.compile_model(model, "CPU", self.config)

    def close(self) -> None:
        """Drop what was compiled."""
        del self.slots, self.compiled, self.model

    def _slots(self, model: openvino.CompiledModel) -> "queue.Queue[dict[int, Any]]":
        """Execution slots, one per stream, each with a request per batch size; any compiled model knows the streams."""
        with self.making_slots:
            if not self.streams:
                self.streams = int(model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
                for _ in range(self.streams):
                    self.slots.put({})
        return self.slots


def open_runtime(directory: Path, manifest: Manifest, options: Mapping[str, Any]) -> OpenVinoRuntime:
    """Open the graph of an engine directory; see deploy.engine.open_runtime."""
    return OpenVinoRuntime(
        directory / GRAPH,
        manifest.precision.requested,
        manifest.batch,
        options["threads"],
        options["hint"],
        options.get("winograd", False),  # older engines do not have it
    )
