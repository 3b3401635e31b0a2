"""From an ONNX graph to a TensorRT or TensorRT-RTX plan, strongly typed: the graph alone decides the precision.

One path for TensorRT 10.15, 11.x and TensorRT-RTX 1.x; every `trt` name that is used exists in all of them (tested).
TensorRT 8.5 of JetPack 5 is left out: it comes with Python 3.8, which does not run this project; its trtexec takes the
ONNX file, with --fp16 in place of a half graph.
"""

import dataclasses
import importlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch

from limner.core.signature import Signature
from limner.core.util.errors import LimnerError, UserError
from limner.core.util.files import atomic_write
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.manifest import Backend, Precision
from limner.deploy.target import GRAPH, Work

PLAN = "engine.plan"

Kind = Literal["tensorrt", "tensorrt-rtx"]
MODULES: dict[Kind, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
INSTALL: dict[Kind, str] = {
    "tensorrt": "pip install 'limner[gpu]'",
    "tensorrt-rtx": "pip install tensorrt-rtx (Linux and Windows)",
}
TYPES = {
    "int8": r"INT8|I8I8",
    "bf16": r"BF16|BFLOAT16",
    "fp16": r"FP16|HALF|\bFLOAT16|F16F16",
    "fp32": r"FP32|\bFLOAT(32)?\b|F32F32",
}
"""How an inspector's report writes each type, narrowest first; last as the names of kernels have it."""
FORMATS = ("Format/Datatype", "DataType", "Format")
"""What a report calls a tensor's type: TensorRT 10, TensorRT 11."""
RTX_CAPABILITIES = ((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1))
"""Compute capabilities that TensorRT-RTX 1.7 runs on; there is none of the data-centre Hoppers and Blackwells."""


@dataclass(frozen=True)
class TensorRTOptions:
    """How TensorRT builds a plan."""

    workspace_gb: float = 2.0
    """Memory that a layer may take while it runs; too little looks like a missing implementation."""
    level: int = 3
    """Builder optimisation level, 0 (fast build) to 5 (fast engine)."""
    tf32: bool = False
    """Let fp32 convolutions round their inputs to 10 bits, where the GPU gains by it."""
    timing_cache: Path | None = None
    """File of kernel timings that is read, added to and written, which makes the next build faster; TensorRT only."""
    refit: bool = False
    """Allow new weights of the same shapes to be put into the plan."""
    strip_plan: bool = False
    """Leave the weights out of the plan; they are put back from the ONNX file beside it. Implies refit; not for
    Torch-TensorRT."""
    version_compatible: bool = False
    """The plan also runs on later TensorRT versions; slower; TensorRT only."""
    bare: bool = False
    """Torch-TensorRT only: leave a bare TensorRT plan for the runner of backend tensorrt, not a saved program."""
    hardware: Literal["this", "ampere-plus", "same-compute-capability"] = "this"
    """GPUs that the plan runs on: this model only, Ampere and later, or any with this one's compute capability."""

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 5:
            raise UserError(f"tensorrt.level {self.level}: must be 0 to 5")
        if self.workspace_gb <= 0:
            raise UserError(f"tensorrt.workspace-gb {self.workspace_gb}: must be more than 0")


def load_tensorrt(kind: Kind) -> ModuleType:
    """The bindings; UserError where they are not installed."""
    try:
        return importlib.import_module(MODULES[kind])
    except ImportError as error:
        raise UserError(f"backend {kind}: no {MODULES[kind]} here ({error}): {INSTALL[kind]}") from error


def check_driver(backend: Backend) -> None:
    """UserError where there is no NVIDIA driver or no GPU that torch can use."""
    if not torch.cuda.is_available():
        raise UserError(
            f"backend {backend}: no NVIDIA GPU or driver (or a torch without CUDA) here: take --backend openvino, or "
            "tensorrt-rtx, which builds without a GPU"
        )


def runs_here(kind: Kind) -> bool:
    """Whether there is a GPU that runs such plans."""
    if not torch.cuda.is_available():
        return False
    return kind == "tensorrt" or torch.cuda.get_device_capability() in RTX_CAPABILITIES


@cache
def logger(trt: ModuleType) -> Any:
    """The process's TensorRT logger, which prints errors; the library takes no second one."""
    return trt.Logger(trt.Logger.ERROR)


def build_plan(kind: Kind, graph: Path, signature: Signature, batch: BatchProfile, options: TensorRTOptions) -> bytes:
    """Parse an ONNX file and build a plan for batches of `batch`.

    TensorRT, unlike TensorRT-RTX, needs a GPU. Raises LimnerError with the parser's words for a graph that it refuses.
    """
    trt = load_tensorrt(kind)
    log = logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(graph)):
        reason = " ".join(parser.get_error(0).desc().split())
        raise LimnerError(f"{kind} {trt.__version__} does not take {graph}: {reason}")
    config = _configure(trt, kind, builder, options)
    profile = builder.create_optimization_profile()
    for port in signature.inputs:
        profile.set_shape(port.name, *((size, *port.shape) for size in (batch.minimum, batch.optimum, batch.maximum)))
    config.add_optimization_profile(profile)
    cache = None if options.timing_cache is None else attach_timing_cache(config, options.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise LimnerError(f"{kind} {trt.__version__} built nothing from {graph}: its own messages are above")
    if cache is not None and options.timing_cache is not None:
        with atomic_write(options.timing_cache) as aside:
            aside.write_bytes(bytes(cache.serialize()))
    return bytes(plan)


def _configure(trt: ModuleType, kind: Kind, builder: Any, options: TensorRTOptions) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(options.workspace_gb * 2**30))
    config.builder_optimization_level = options.level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that the inspector can prove the precision
    flags = {
        trt.BuilderFlag.TF32: options.tf32,
        trt.BuilderFlag.REFIT: options.refit or options.strip_plan,
        trt.BuilderFlag.STRIP_PLAN: options.strip_plan,
        trt.BuilderFlag.VERSION_COMPATIBLE: options.version_compatible,
    }
    for flag, wanted in flags.items():
        (config.set_flag if wanted else config.clear_flag)(flag)
    if kind == "tensorrt":
        levels = {
            "this": trt.HardwareCompatibilityLevel.NONE,
            "ampere-plus": trt.HardwareCompatibilityLevel.AMPERE_PLUS,
            "same-compute-capability": trt.HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY,
        }
        config.hardware_compatibility_level = levels[options.hardware]
    return config


def attach_timing_cache(config: Any, path: Path) -> Any:
    """The cache of kernel timings that a build reads and adds to: the file's, or an empty one, which is said.

    Makes the file's folder, so that it can be written after the build. None where TensorRT takes none at all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        cache = config.create_timing_cache(path.read_bytes())
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
        print(f"{path}: timings of another GPU or TensorRT version, or damaged: they are replaced")
    cache = config.create_timing_cache(b"")
    return cache if cache is not None and config.set_timing_cache(cache, False) else None


def layer_precision(report: str) -> str:
    """The precision that most convolutions of a plan work in, from the inspector's JSON; "unknown" if it has no types.

    A layer's type is told by its inputs and outputs, its weights and the name of its kernel; with dynamic shapes the
    first may be missing. The narrowest of them counts, as an int8 convolution may write fp32. Where layers are fused
    beyond recognition all layers count.
    """
    layers = [layer for layer in json.loads(report).get("Layers", []) if isinstance(layer, dict)]
    convolutions = [
        layer for layer in layers if "conv" in json.dumps(layer).lower() and layer.get("LayerType") != "Reformat"
    ]
    found: list[str] = []
    for layer in convolutions or layers:
        words = _words_on_types(layer)
        found += [name for name, pattern in TYPES.items() if re.search(pattern, words)][:1]
    return Counter(found).most_common(1)[0][0] if found else "unknown"


def _words_on_types(layer: dict[str, Any]) -> str:
    tensors = [tensor for side in ("Inputs", "Outputs") for tensor in layer.get(side, [])]
    words = [tensor.get(key) for tensor in tensors if isinstance(tensor, dict) for key in FORMATS]
    kernel = layer.get("Weights")
    words += [kernel.get("Type") if isinstance(kernel, dict) else None, layer.get("TacticName")]
    return " ".join(str(word).upper() for word in words if word)


def settings(options: TensorRTOptions) -> dict[str, Any]:
    """The options as a manifest keeps them."""
    values = dataclasses.asdict(options)
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


class TensorRTTarget:
    """TensorRT and TensorRT-RTX as deploy.target.Target."""

    device_type: Literal["cpu", "cuda"] = "cuda"
    storage_only: tuple[Precision, ...] = ()

    def __init__(self, kind: Kind, options: TensorRTOptions) -> None:
        """UserError where this machine cannot build for it."""
        if kind == "tensorrt":
            check_driver(kind)
        self.kind = kind
        self.module = load_tensorrt(kind)
        self.options = options
        if options.bare:
            raise UserError(
                f"tensorrt.bare: {kind} makes no other plan: leave it out, or give --backend torch-tensorrt"
            )
        self.runs_here = runs_here(kind)
        if kind == "tensorrt-rtx":
            self._check_rtx_options()

    def _check_rtx_options(self) -> None:
        options = self.options
        for name in ("timing_cache", "version_compatible", "hardware"):
            if getattr(options, name) != getattr(TensorRTOptions(), name):
                raise UserError(f"tensorrt.{name.replace('_', '-')}: tensorrt-rtx has no such option: leave it out")
        if (options.refit or options.strip_plan) and not self.runs_here:
            raise UserError("tensorrt.refit, tensorrt.strip-plan: tensorrt-rtx needs a GPU for these: leave them out")

    def version(self) -> str:
        """Of the bindings."""
        return str(self.module.__version__)

    def device(self) -> str:
        """The GPU; without one, what TensorRT-RTX builds for by itself."""
        return str(torch.cuda.get_device_name()) if self.runs_here else "any GPU that TensorRT-RTX supports"

    def check(self, asked: Precision) -> None:
        """UserError for bf16."""
        if asked == "bf16":
            raise UserError(
                f"precision bf16: {self.kind} has no bf16 transposed convolution (NVIDIA/TensorRT#4829): take fp16"
            )

    def make(self, work: Work) -> None:
        """Write the plan beside the graph."""
        plan = build_plan(self.kind, work.directory / GRAPH, work.signature, work.batch, self.options)
        (work.directory / PLAN).write_bytes(plan)

    def settings(self) -> dict[str, Any]:
        """The options as a manifest keeps them."""
        return settings(self.options)

    def executed(self, work: Work) -> str:
        """From the inspector's report of the layers of the plan, where it can be deserialized."""
        if not self.runs_here:
            return "unknown"
        from limner.deploy.trt.runner import Plan

        with Plan(self.kind, work.directory, self.settings()) as plan:
            return layer_precision(plan.layers(work.signature, work.batch.optimum))
