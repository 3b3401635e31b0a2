"""Builds TensorRT and TensorRT-RTX plans from an ONNX graph, strongly typed: the graph alone decides the precision.

One code path for TensorRT 10.15, 11.x and TensorRT-RTX 1.x; all of them have every `trt` name that is used (tested).
TensorRT 8.5 of JetPack 5 is left out: it comes with Python 3.8, which does not run this project; its trtexec takes the
ONNX file, with --fp16 in place of a half graph.
"""

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch

from limner.core.signature import Signature
from limner.core.util.errors import LimnerError, UserError
from limner.core.util.files import atomic_write
from limner.core.util.log import log
from limner.deploy.backends import BackendName, load_package
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.builder import BuildJob
from limner.deploy.manifest import GRAPH, Precision
from limner.deploy.options import BuildOptions
from limner.deploy.trt.bindings import PlanBackend, check_driver, logger, runs_here
from limner.deploy.trt.options import TensorRTOptions
from limner.deploy.trt.runner import PLAN, Plan

TYPES = {
    "int8": r"INT8|I8I8",
    "bf16": r"BF16|BFLOAT16",
    "fp16": r"FP16|HALF|\bFLOAT16|F16F16",
    "fp32": r"FP32|\bFLOAT(32)?\b|F32F32",
}
"""How an inspector's report writes each type, narrowest first; the last alternatives are from names of kernels."""
FORMATS = ("Format/Datatype", "DataType", "Format")
"""What a report calls a tensor's type: TensorRT 10, TensorRT 11."""


def build_plan(
    backend: PlanBackend, graph: Path, signature: Signature, batch: BatchProfile, options: TensorRTOptions
) -> bytes:
    """Parse an ONNX file and build a plan for batches of `batch`.

    TensorRT, unlike TensorRT-RTX, needs a GPU. Raises LimnerError, with the parser's message, for a refused graph.
    """
    trt = load_package(backend)
    log = logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(graph)):
        reason = " ".join(parser.get_error(0).desc().split())
        raise LimnerError(f"{backend} {trt.__version__} does not take {graph}: {reason}")
    config = _configure(trt, backend, builder, options)
    profile = builder.create_optimization_profile()
    for port in signature.inputs:
        profile.set_shape(port.name, *((size, *port.shape) for size in (batch.minimum, batch.optimum, batch.maximum)))
    config.add_optimization_profile(profile)
    cache = None if options.timing_cache is None else attach_timing_cache(config, options.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise LimnerError(f"{backend} {trt.__version__} built nothing from {graph}: its own messages are above")
    if cache is not None and options.timing_cache is not None:
        with atomic_write(options.timing_cache) as tmp_path:
            tmp_path.write_bytes(bytes(cache.serialize()))
    return bytes(plan)


def _configure(trt: ModuleType, backend: PlanBackend, builder: Any, options: TensorRTOptions) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(options.workspace_gb * 2**30))
    config.builder_optimization_level = options.level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that the inspector reports the precision
    flags = {
        trt.BuilderFlag.TF32: options.tf32,
        trt.BuilderFlag.REFIT: options.refit or options.strip_plan,
        trt.BuilderFlag.STRIP_PLAN: options.strip_plan,
        trt.BuilderFlag.VERSION_COMPATIBLE: options.version_compatible,
    }
    for flag, wanted in flags.items():
        (config.set_flag if wanted else config.clear_flag)(flag)
    if backend == "tensorrt":
        levels = {
            "this": trt.HardwareCompatibilityLevel.NONE,
            "ampere-plus": trt.HardwareCompatibilityLevel.AMPERE_PLUS,
            "same-compute-capability": trt.HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY,
        }
        config.hardware_compatibility_level = levels[options.hardware]
    return config


def attach_timing_cache(config: Any, path: Path) -> Any:
    """Attach the cache of kernel timings that a build reads and adds to: the file's, or an empty one, with a message.

    Creates the file's folder, so that it can be written after the build. Returns None where TensorRT takes no cache.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        cache = config.create_timing_cache(path.read_bytes())
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
        log.info(f"{path}: timings of another GPU or TensorRT version, or damaged: they are replaced")
    cache = config.create_timing_cache(b"")
    return cache if cache is not None and config.set_timing_cache(cache, False) else None


def layer_precision(report: str) -> str | None:
    """Read from the inspector's JSON the precision that most convolutions of a plan run in; None if it has no types.

    A layer's type follows from its inputs and outputs, its weights and the name of its kernel; with dynamic shapes the
    first may be missing. The narrowest of them counts, as an int8 convolution may write fp32. Where layers are fused
    beyond recognition all layers count.
    """
    layers = [layer for layer in json.loads(report).get("Layers", []) if isinstance(layer, dict)]
    convolutions = [
        layer for layer in layers if "conv" in json.dumps(layer).lower() and layer.get("LayerType") != "Reformat"
    ]
    found: list[str] = []
    for layer in convolutions or layers:
        text = _type_text(layer)
        found += [name for name, pattern in TYPES.items() if re.search(pattern, text)][:1]
    return Counter(found).most_common(1)[0][0] if found else None


def _type_text(layer: dict[str, Any]) -> str:
    tensors = [tensor for side in ("Inputs", "Outputs") for tensor in layer.get(side, [])]
    texts = [tensor.get(key) for tensor in tensors if isinstance(tensor, dict) for key in FORMATS]
    kernel = layer.get("Weights")
    texts += [kernel.get("Type") if isinstance(kernel, dict) else None, layer.get("TacticName")]
    return " ".join(str(text).upper() for text in texts if text)


def manifest_options(options: TensorRTOptions) -> dict[str, Any]:
    """The options as the manifest keeps them."""
    values = dataclasses.asdict(options)
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


class TensorRTBuilder:
    """TensorRT and TensorRT-RTX as deploy.builder.EngineBuilder."""

    device_type: Literal["cpu", "cuda"] = "cuda"
    storage_only: tuple[Precision, ...] = ()

    def __init__(self, backend: PlanBackend, options: TensorRTOptions) -> None:
        """UserError where this machine cannot build with these options."""
        if backend == "tensorrt":
            check_driver(backend)
        self.backend = backend
        self.module = load_package(backend)
        self.tensorrt_options = options
        self.runs_here = runs_here(backend)
        if (options.refit or options.strip_plan) and not self.runs_here:
            raise UserError("tensorrt.refit, tensorrt.strip-plan: tensorrt-rtx needs a GPU for these: leave them out")

    def version(self) -> str:
        """The bindings' version."""
        return str(self.module.__version__)

    def device(self) -> str:
        """The GPU; without one, what TensorRT-RTX builds for by itself."""
        return str(torch.cuda.get_device_name()) if self.runs_here else "any GPU that TensorRT-RTX supports"

    def options(self) -> dict[str, Any]:
        """All TensorRT options."""
        return manifest_options(self.tensorrt_options)

    def check_precision(self, requested: Precision) -> None:
        """Raise UserError for bf16."""
        if requested == "bf16":
            raise UserError(
                f"precision bf16: {self.backend} has no bf16 transposed convolution (NVIDIA/TensorRT#4829): take fp16"
            )

    def build(self, job: BuildJob) -> None:
        """Write the plan next to the graph."""
        plan = build_plan(self.backend, job.directory / GRAPH, job.signature, job.batch, self.tensorrt_options)
        (job.directory / PLAN).write_bytes(plan)

    def executed_precision(self, job: BuildJob) -> str | None:
        """From the inspector's report of the layers of the plan; None on a machine that cannot deserialise it."""
        if not self.runs_here:
            return None
        with Plan(self.backend, job.directory, self.options()) as plan:
            return layer_precision(plan.layers(job.signature, job.batch.optimum))


def make_builder(backend: BackendName, options: BuildOptions) -> TensorRTBuilder:
    """The builder with a user's options; UserError where this machine cannot build with them."""
    return TensorRTBuilder("tensorrt-rtx" if backend == "tensorrt-rtx" else "tensorrt", options.tensorrt)
