"""Builds engines for OpenVINO on the CPU, which reads the ONNX graph itself."""

import dataclasses
from collections import Counter
from functools import partial
from typing import Any, Literal

import numpy as np
import openvino

from limner.core.util.errors import UserError
from limner.core.util.timing import Candidate, TimingBudget, describe_speed, time_interleaved
from limner.deploy.backends import BackendName
from limner.deploy.builder import BuildJob
from limner.deploy.manifest import GRAPH, Precision
from limner.deploy.options import BuildOptions
from limner.deploy.runtimes.openvino.runner import OpenVinoRuntime
from limner.deploy.runtimes.options import CpuOptions

NAMES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
"""OpenVINO's names of precisions, and ours."""
CONVOLUTIONS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
MIN_WINOGRAD_SPEEDUP = 1.0 / 0.97
"""Speedup from which Winograd's convolutions are used: they need memory, and less would be noise."""
TRIAL_BUDGET = TimingBudget(min_repeats=3, max_repeats=11, seconds=10.0, warm_up=1)


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
        """By the median speedup of interleaved runs at the smallest batch, at which latency is measured.

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
        runs = {"plain": partial(plain.run, inputs), "transformed": partial(transformed.run, inputs)}
        candidates = {name: Candidate(run, prepare=run) for name, run in runs.items()}
        timings = time_interleaved(candidates, TRIAL_BUDGET, settle_s=0.0)  # OpenVINO's idle threads do not spin
        speedup = timings["transformed"].speedup_over(timings["plain"]).median
        used = speedup >= MIN_WINOGRAD_SPEEDUP
        job.report(
            f"Winograd's convolutions are {describe_speed(speedup)} at batch {job.batch.minimum}: "
            f"{'used' if used else 'not used'}"
        )
        return used

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


def make_builder(backend: BackendName, options: BuildOptions) -> OpenVinoBuilder:
    """The builder with a user's options."""
    return OpenVinoBuilder(options.cpu)
