"""OpenVINO on the CPU."""

import queue
import statistics
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import openvino

from limner.core.util.errors import UserError
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.manifest import Hint, Manifest, Precision
from limner.deploy.runtimes.openvino.rewrite import replace_tanh, use_unsigned
from limner.deploy.runtimes.openvino.winograd import transform_large
from limner.deploy.target import GRAPH, Work

ARITHMETIC: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f32", "int8": "f32"}
"""The precision hint for each precision asked for. Left alone, OpenVINO takes bf16 for an fp32 graph where it can; fp16
is a storage format on CPUs; in an int8 graph the hint is for what is not quantised."""
NAMES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
CONVOLUTIONS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
WORTH = 0.97
"""What part of the time Winograd's convolutions may take at most: they take memory, and less would be noise."""
MIN_TRIALS, MAX_TRIALS, MAX_TRIAL_SECONDS = 3, 11, 10.0
ANY_SIZE = -1
"""OpenVINO's word for a dimension that is left open."""


class OpenVinoRuntime:
    """A graph compiled for each size of a batch profile when one first comes, and once more for all sizes between.

    With a size known beforehand OpenVINO plans its memory: a U-Net of width 16 takes 0.82 of the time at any batch
    size, one of width 64 0.96. Each size that is used holds weights of its own, 0.2 GB at width 64 (0.3 with
    Winograd's convolutions), and is a second late the first time. No more runs at once, of all sizes, than OpenVINO
    has streams; other callers wait.
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
        """threads: 0 for as many as OpenVINO thinks best; winograd: see deploy.runtimes.openvino.winograd."""
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
        self.lanes: queue.Queue[dict[int, Any]] = queue.Queue()
        self.opening_lanes = threading.Lock()
        self.streams = 0

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See deploy.engine.Runtime."""
        size = len(next(iter(inputs.values())))
        size = size if size in self.compiling else ANY_SIZE
        with self.compiling[size]:  # callers of other sizes go on
            if size not in self.compiled:
                self.compiled[size] = self.compile(size)
        lane = self._lanes(self.compiled[size]).get()
        try:
            if size not in lane:
                lane[size] = self.compiled[size].create_infer_request()
            return np.array(lane[size].infer(dict(inputs), share_inputs=True)[0])
        finally:
            self.lanes.put(lane)

    def compile(self, size: int) -> openvino.CompiledModel:
        """The graph for batches of `size`, or of ANY_SIZE."""
        model = self.model.clone()
        shapes = {}
        for port in model.inputs:
            shapes[port] = port.partial_shape
            shapes[port][0] = size
        model.reshape(shapes)
        return self.core.compile_model(model, "CPU", self.config)

    def close(self) -> None:
        """Drop what was compiled."""
        del self.lanes, self.compiled, self.model

    def _lanes(self, model: openvino.CompiledModel) -> "queue.Queue[dict[int, Any]]":
        """Requests by batch size, as many sets as OpenVINO has streams, which `model`, like any compiled one, tells."""
        with self.opening_lanes:
            if not self.streams:
                self.streams = int(model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
                for _ in range(self.streams):
                    self.lanes.put({})
        return self.lanes


def _seconds(runtime: OpenVinoRuntime, inputs: Mapping[str, npt.NDArray[Any]]) -> float:
    """Of one run, right after another."""
    runtime.run(inputs)
    start = time.perf_counter()
    runtime.run(inputs)
    return time.perf_counter() - start


def open_runtime(directory: Path, manifest: Manifest, options: Mapping[str, Any]) -> OpenVinoRuntime:
    """The runtime of an engine directory; see deploy.engine.open_runtime."""
    return OpenVinoRuntime(
        directory / GRAPH,
        manifest.precision.asked,
        manifest.batch,
        options["threads"],
        options["hint"],
        options.get("winograd", False),  # engines from before there was one do not say
    )


class OpenVinoTarget:
    """The backend as deploy.target.Target."""

    device_type: Literal["cpu", "cuda"] = "cpu"
    runs_here = True
    storage_only: tuple[Precision, ...] = ("fp16",)

    def __init__(self, threads: int, hint: Hint) -> None:
        """See OpenVinoRuntime."""
        self.threads, self.hint, self.winograd = threads, hint, False

    def version(self) -> str:
        """Of the package."""
        return str(openvino.__version__).partition("-")[0]

    def device(self) -> str:
        """The processor's name."""
        return str(openvino.Core().get_property("CPU", "FULL_DEVICE_NAME"))

    def check(self, asked: Precision) -> None:
        """UserError where this processor cannot calculate in the precision asked for."""
        can: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if {"bf16": "BF16", "int8": "INT8"}.get(asked, "FP32") not in can:
            raise UserError(f"precision {asked}: this processor has none (it has {', '.join(can)}): take fp32")

    def make(self, work: Work) -> None:
        """Write nothing, as OpenVINO reads the graph itself; see which convolutions are the faster ones here."""
        self.winograd = work.precision == "fp32" and self._winograd_is_faster(work)

    def _winograd_is_faster(self, work: Work) -> bool:
        """By the median ratio of runs in turns, at the smallest batch, which is what latency is measured at.

        Arithmetic is saved, and paid for with traffic to memory: which weighs more is the processor's affair.
        """
        plain, transformed = (
            OpenVinoRuntime(work.directory / GRAPH, "fp32", work.batch, **self.settings() | {"winograd": winograd})
            for winograd in (False, True)
        )
        if not transformed.transformed:
            return False
        ports = work.signature.inputs
        inputs = {port.name: np.zeros((work.batch.minimum, *port.shape), port.dtype) for port in ports}
        for runtime in (plain, transformed):
            runtime.run(inputs)  # compiles
        ratios: list[float] = []
        start = time.perf_counter()
        while len(ratios) < MIN_TRIALS or (
            len(ratios) < MAX_TRIALS and time.perf_counter() - start < MAX_TRIAL_SECONDS
        ):
            ratios.append(_seconds(transformed, inputs) / _seconds(plain, inputs))
        ratio = statistics.median(ratios)
        verdict = "kept" if ratio <= WORTH else "left out"
        work.report(f"Winograd's convolutions take {ratio:.2f} of the time at batch {work.batch.minimum}: {verdict}")
        return ratio <= WORTH

    def settings(self) -> dict[str, Any]:
        """The options as a manifest keeps them."""
        return {"threads": self.threads, "hint": self.hint, "winograd": self.winograd}

    def executed(self, work: Work) -> str:
        """The precision that most convolutions run in, from the report of the graph compiled for the smallest batch."""
        runtime = OpenVinoRuntime(work.directory / GRAPH, work.precision, work.batch, **self.settings())
        compiled = runtime.compile(work.batch.minimum)
        layers = Counter(
            NAMES.get(info["runtimePrecision"].value, info["runtimePrecision"].value)
            for info in (node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops())
            if info["layerType"].value in CONVOLUTIONS
        )
        return str(layers.most_common(1)[0][0])
