"""Builds engines for OpenVINO on the CPU, which reads the ONNX graph itself."""

import dataclasses
import statistics
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import openvino

from limner.core.util.errors import UserError
from limner.deploy.backends import BackendName
from limner.deploy.builder import BuildJob
from limner.deploy.manifest import GRAPH, Precision
from limner.deploy.options import BuildOptions
from limner.deploy.runtimes.openvino.runner import OpenVinoRuntime
from limner.deploy.runtimes.options import CpuOptions

NAMES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
"""OpenVINO's names of precisions, and ours."""
CONVOLUTIONS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
MAX_WINOGRAD_RATIO = 0.97
"""Share of the time that Winograd's convolutions may take at most: they need memory, and less would be noise."""
MIN_TRIALS, MAX_TRIALS, MAX_TRIAL_SECONDS = 3, 11, 10.0


class OpenVinoBuilder:
    """OpenVINO as deploy.builder.EngineBuilder."""

    device_type: Literal["cpu", "cuda"] = "cpu"
    runs_here = True
    storage_only: tuple[Precision, ...] = ("fp16",)

    def __init__(self, options: CpuOptions) -> None:
        self.cpu_options, self.winograd = options, False

    def version(self) -> str:
        """The package's version."""
        return str(openvino.__version__).partition("-")[0]

    def device(self) -> str:
        """The processor's name."""
        return str(openvino.Core().get_property("CPU", "FULL_DEVICE_NAME"))

    def options(self) -> dict[str, Any]:
        """Threads, hint, and whether Winograd's convolutions were faster."""
        return dataclasses.asdict(self.cpu_options) | {"winograd": self.winograd}

    def check_precision(self, requested: Precision) -> None:
        """Raise UserError where this processor cannot calculate in the precision requested."""
        supported: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if {"bf16": "BF16", "int8": "INT8"}.get(requested, "FP32") not in supported:
            raise UserError(
                f"precision {requested}: this processor does not support it (only {', '.join(supported)}): take fp32"
            )

    def build(self, job: BuildJob) -> None:
        """Write nothing, as OpenVINO reads the graph itself; time which convolutions are faster here."""
        self.winograd = job.precision == "fp32" and self._winograd_is_faster(job)

    def _winograd_is_faster(self, job: BuildJob) -> bool:
        """By the median ratio of interleaved runs at the smallest batch, at which latency is measured.

        Winograd's convolutions save arithmetic at the cost of memory traffic: the processor decides which weighs more.
        """
        plain, transformed = (
            OpenVinoRuntime(job.directory / GRAPH, "fp32", job.batch, **self.options() | {"winograd": winograd})
            for winograd in (False, True)
        )
        if not transformed.transformed:
            return False
        ports = job.signature.inputs
        inputs = {port.name: np.zeros((job.batch.minimum, *port.shape), port.dtype) for port in ports}
        for runtime in (plain, transformed):
            runtime.run(inputs)  # compiles
        ratios: list[float] = []
        start = time.perf_counter()
        while len(ratios) < MIN_TRIALS or (
            len(ratios) < MAX_TRIALS and time.perf_counter() - start < MAX_TRIAL_SECONDS
        ):
            ratios.append(_seconds(transformed, inputs) / _seconds(plain, inputs))
        ratio = statistics.median(ratios)
        verdict = "used" if ratio <= MAX_WINOGRAD_RATIO else "not used"
        job.report(f"Winograd's convolutions take {ratio:.2f} of the time at batch {job.batch.minimum}: {verdict}")
        return ratio <= MAX_WINOGRAD_RATIO

    def executed_precision(self, job: BuildJob) -> str:
        """The precision that most convolutions run in, from the report of the graph compiled for the smallest batch."""
        runtime = OpenVinoRuntime(job.directory / GRAPH, job.precision, job.batch, **self.options())
        compiled = runtime.compile(job.batch.minimum)
        layers = Counter(
            NAMES.get(info["runtimePrecision"].value, info["runtimePrecision"].value)
            for info in (node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops())
            if info["layerType"].value in CONVOLUTIONS
        )
        return str(layers.most_common(1)[0][0])


def _seconds(runtime: OpenVinoRuntime, inputs: Mapping[str, npt.NDArray[Any]]) -> float:
    """Time of one run right after another, in seconds."""
    runtime.run(inputs)
    start = time.perf_counter()
    runtime.run(inputs)
    return time.perf_counter() - start


def make_builder(backend: BackendName, options: BuildOptions) -> OpenVinoBuilder:
    """The builder with a user's options."""
    return OpenVinoBuilder(options.cpu)
