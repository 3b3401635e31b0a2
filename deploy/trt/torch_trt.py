"""Torch-TensorRT: the generator compiled whole from its exported program, or that program as a raw TensorRT plan.

The precision is in the module: the keyword for it is fatal in Torch-TensorRT 2.11 and ignored in 2.13, where an engine
requested in fp16 comes out in fp32. Every keyword here is in the signatures of both (tested); none of it has run on a
GPU.
"""

import copy
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from limner.core.signature import Signature
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.backends import BackendName, load_package
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.builder import BuildJob
from limner.deploy.engine import Runtime
from limner.deploy.inputs import EXAMPLE_BATCH, random_inputs
from limner.deploy.manifest import Manifest, Precision
from limner.deploy.options import BuildOptions
from limner.deploy.trt import runner
from limner.deploy.trt.bindings import check_driver
from limner.deploy.trt.builder import manifest_options
from limner.deploy.trt.options import TensorRTOptions

PROGRAM = "engine.ep"


class _FloatNorm(nn.Module):
    """A norm in fp32 between half tensors."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x.float())
        return normed.to(x.dtype)


class FloatPorts(nn.Module):
    """A generator with fp32 inputs and outputs, whatever the precision of its weights and arithmetic."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, *inputs: Tensor) -> Tensor:
        """The generator's inputs in fp32 -> its images (N, C, H, W) in fp32."""
        dtype = next(self.generator.parameters()).dtype
        image: Tensor = self.generator(*(x.to(dtype) if x.is_floating_point() else x for x in inputs))
        return image.float()


def half_module(generator: nn.Module) -> nn.Module:
    """A copy of the generator with half weights and its norms in fp32: the twin of deploy.graph.half.to_half."""
    half = copy.deepcopy(generator).half()
    for module in list(half.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.InstanceNorm2d | nn.BatchNorm2d):
                setattr(module, name, _FloatNorm(child))
    return half


def compile_options(options: TensorRTOptions) -> dict[str, Any]:
    """Keywords that both compile and convert_exported_program_to_serialized_trt_engine take.

    Raises UserError for hardware that they cannot build for.
    """
    if options.hardware == "same-compute-capability":
        raise UserError("tensorrt.hardware same-compute-capability: torch-tensorrt has this and ampere-plus")
    keywords: dict[str, Any] = {
        "min_block_size": 1,
        "require_full_compilation": True,
        "immutable_weights": not options.refit,
        "optimization_level": options.level,
        "workspace_size": int(options.workspace_gb * 2**30),
        "disable_tf32": not options.tf32,
        "version_compatible": options.version_compatible,
        "hardware_compatible": options.hardware == "ampere-plus",
    }
    if options.timing_cache is not None:
        options.timing_cache.parent.mkdir(parents=True, exist_ok=True)
        keywords["timing_cache_path"] = str(options.timing_cache)
    return keywords


def export_program(
    module: FloatPorts, signature: Signature, batch: BatchProfile
) -> tuple[ExportedProgram, tuple[Tensor, ...], dict[str, Any]]:
    """Export the module for batches of `batch`; returns also the examples and dynamic shapes that it was exported with.

    The batch is a dynamic dimension only where it may vary: torch.export has none of a single size. Raises LimnerError
    with the exporter's message.
    """
    device = next(module.parameters()).device
    fixed = batch.minimum == batch.maximum
    size = batch.minimum if fixed else max(EXAMPLE_BATCH, batch.minimum)
    examples = tuple(value.to(device) for value in random_inputs(signature, size, seed=0).values())
    free = {} if fixed else {0: torch.export.Dim("batch", min=batch.minimum, max=batch.maximum)}
    shapes = {"inputs": tuple(free for _ in examples)}
    try:
        return torch.export.export(module, examples, dynamic_shapes=shapes), examples, shapes
    except Exception as error:  # the exporter raises almost anything
        reason = " ".join(str(error).split())
        raise LimnerError(f"torch.export {torch.__version__} does not take the generator: {reason}") from error


class TorchTensorRTBuilder:
    """Torch-TensorRT as deploy.builder.EngineBuilder."""

    device_type: Literal["cpu", "cuda"] = "cuda"
    runs_here = True
    storage_only: tuple[Precision, ...] = ()

    def __init__(self, options: TensorRTOptions) -> None:
        """UserError where this machine cannot build with these options."""
        check_driver("torch-tensorrt")
        self.package = load_package("torch-tensorrt")
        self.tensorrt_options = options
        self.keywords = compile_options(options)

    def version(self) -> str:
        """The version of what runs the engine: the package, or TensorRT itself for a raw plan."""
        module = load_package("tensorrt") if self.tensorrt_options.bare else self.package
        return str(module.__version__)

    def device(self) -> str:
        """The GPU."""
        return str(torch.cuda.get_device_name())

    def options(self) -> dict[str, Any]:
        """All TensorRT options."""
        return manifest_options(self.tensorrt_options)

    def check_precision(self, requested: Precision) -> None:
        """Raise UserError for bf16 and int8."""
        if requested not in ("fp32", "fp16"):
            raise UserError(
                f"precision {requested}: torch-tensorrt takes fp32 and fp16 here: take --backend tensorrt for int8"
            )

    def build(self, job: BuildJob) -> None:
        """Write the compiled program, or the raw plan."""
        generator = half_module(job.generator) if job.precision == "fp16" else copy.deepcopy(job.generator)
        program, examples, shapes = export_program(FloatPorts(generator).cuda(), job.float_signature, job.batch)
        ranges = [
            self.package.Input(
                min_shape=(job.batch.minimum, *port.shape),
                opt_shape=(job.batch.optimum, *port.shape),
                max_shape=(job.batch.maximum, *port.shape),
                dtype=getattr(torch, port.dtype),
            )
            for port in job.float_signature.inputs
        ]
        dynamo = self.package.dynamo
        if self.tensorrt_options.bare:
            plan = dynamo.convert_exported_program_to_serialized_trt_engine(program, arg_inputs=ranges, **self.keywords)
            (job.directory / runner.PLAN).write_bytes(plan)
        else:
            module = dynamo.compile(program, arg_inputs=ranges, **self.keywords)
            self.package.save(
                module, str(job.directory / PROGRAM), arg_inputs=list(examples), dynamic_shapes=shapes, retrace=True
            )

    def executed_precision(self, job: BuildJob) -> None:
        """None: Torch-TensorRT builds without the detail that TensorRT's inspector needs to name types."""


def make_builder(backend: BackendName, options: BuildOptions) -> TorchTensorRTBuilder:
    """The builder with a user's options; UserError where this machine cannot build with them."""
    return TorchTensorRTBuilder(options.tensorrt)


class TorchTensorRTRuntime:
    """A saved program on the current GPU, one caller at a time."""

    def __init__(self, program: Path) -> None:
        self.forward = load_package("torch-tensorrt").load(str(program)).module()
        self.lock = threading.Lock()

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See deploy.engine.Runtime."""
        with self.lock, torch.inference_mode():
            tensors = [torch.from_numpy(value).cuda() for value in inputs.values()]
            result: npt.NDArray[Any] = self.forward(*tensors).cpu().numpy()
        return result

    def close(self) -> None:
        """Drop the program."""
        del self.forward


def open_runtime(directory: Path, manifest: Manifest, options: Mapping[str, Any]) -> Runtime:
    """Open the program or plan of an engine directory; see deploy.engine.open_runtime.

    Raises UserError where the version (of TensorRT for a raw plan) or the GPU is not the one it was built for.
    """
    if options["bare"]:
        return runner.open_runtime(directory, manifest, options)
    runner.check_origin(directory, manifest, load_package("torch-tensorrt").__version__, any_version=False)
    return TorchTensorRTRuntime(directory / PROGRAM)
