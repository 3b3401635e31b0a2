"""Torch-TensorRT: the generator compiled whole from its exported program, or that program as a bare TensorRT plan.

The precision is in the module: the keyword for it is fatal in Torch-TensorRT 2.11 and ignored in 2.13, where an engine
asked for in fp16 comes out in fp32. Every keyword here is in the signatures of both (tested); none of it has run on a
GPU.
"""

import copy
import importlib
import threading
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from limner.core.signature import Signature
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.engine import Runtime
from limner.deploy.graph.export import EXAMPLE_BATCH
from limner.deploy.inputs import random_inputs
from limner.deploy.manifest import Manifest, Precision
from limner.deploy.target import Work
from limner.deploy.trt import runner
from limner.deploy.trt.builder import PLAN, TensorRTOptions, check_driver, load_tensorrt, settings

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
    """A generator with fp32 inputs and outputs around weights and arithmetic of its own precision."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, *inputs: Tensor) -> Tensor:
        """The generator's inputs, in fp32 -> its image in fp32."""
        dtype = next(self.generator.parameters()).dtype
        image: Tensor = self.generator(*(x.to(dtype) if x.is_floating_point() else x for x in inputs))
        return image.float()


def half_module(generator: nn.Module) -> nn.Module:
    """A copy of the generator with half weights and its norms in fp32: the twin of onnx_export.to_half."""
    half = copy.deepcopy(generator).half()
    for module in list(half.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.InstanceNorm2d | nn.BatchNorm2d):
                setattr(module, name, _FloatNorm(child))
    return half


def load_torch_tensorrt() -> ModuleType:
    """The package; UserError where it is not installed or does not go with this torch."""
    try:
        return importlib.import_module("torch_tensorrt")
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"backend torch-tensorrt: not usable here ({reason}): pip install 'limner[gpu]'") from error


def compile_options(options: TensorRTOptions) -> dict[str, Any]:
    """Keywords that compile and convert_exported_program_to_serialized_trt_engine take alike.

    UserError for options that they have not.
    """
    if options.strip_plan:
        raise UserError("tensorrt.strip-plan: torch-tensorrt cannot put the weights back: leave it out")
    if options.hardware == "same-compute-capability":
        raise UserError("tensorrt.hardware same-compute-capability: torch-tensorrt has this or ampere-plus")
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
    """The module for batches of `batch`, with the examples and dynamic shapes it was exported by.

    The batch is a free dimension only where it may vary: torch.export has none of a single size. Raises LimnerError
    with the exporter's words.
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


class TorchTensorRTTarget:
    """Torch-TensorRT as deploy.target.Target."""

    device_type: Literal["cpu", "cuda"] = "cuda"
    runs_here = True
    storage_only: tuple[Precision, ...] = ()

    def __init__(self, options: TensorRTOptions) -> None:
        """UserError where this machine cannot build for it."""
        check_driver("torch-tensorrt")
        self.package = load_torch_tensorrt()
        self.options = options
        self.keywords = compile_options(options)

    def version(self) -> str:
        """Of what runs the engine: the package, or TensorRT itself for a bare plan."""
        module = load_tensorrt("tensorrt") if self.options.bare else self.package
        return str(module.__version__)

    def device(self) -> str:
        """The GPU."""
        return str(torch.cuda.get_device_name())

    def settings(self) -> dict[str, Any]:
        """The options as a manifest keeps them."""
        return settings(self.options)

    def check(self, asked: Precision) -> None:
        """UserError for bf16 and int8."""
        if asked not in ("fp32", "fp16"):
            raise UserError(
                f"precision {asked}: torch-tensorrt takes fp32 and fp16 here: take --backend tensorrt for int8"
            )

    def make(self, work: Work) -> None:
        """Write the compiled program, or the bare plan."""
        if work.signature != work.floats:
            raise UserError("pixels: torch-tensorrt has no uint8 pictures in its graph: take --backend tensorrt")
        generator = half_module(work.generator) if work.precision == "fp16" else copy.deepcopy(work.generator)
        program, examples, shapes = export_program(FloatPorts(generator).cuda(), work.floats, work.batch)
        ranges = [
            self.package.Input(
                min_shape=(work.batch.minimum, *port.shape),
                opt_shape=(work.batch.optimum, *port.shape),
                max_shape=(work.batch.maximum, *port.shape),
                dtype=getattr(torch, port.dtype),
            )
            for port in work.floats.inputs
        ]
        dynamo = self.package.dynamo
        if self.options.bare:
            plan = dynamo.convert_exported_program_to_serialized_trt_engine(program, arg_inputs=ranges, **self.keywords)
            (work.directory / PLAN).write_bytes(plan)
        else:
            module = dynamo.compile(program, arg_inputs=ranges, **self.keywords)
            self.package.save(
                module, str(work.directory / PROGRAM), arg_inputs=list(examples), dynamic_shapes=shapes, retrace=True
            )

    def executed(self, work: Work) -> str:
        """Unknown: Torch-TensorRT builds without the detail that TensorRT's inspector needs to name types."""
        return "unknown"


class TorchTensorRTRuntime:
    """A saved program on the current GPU, one caller at a time."""

    def __init__(self, program: Path) -> None:
        self.forward = load_torch_tensorrt().load(str(program)).module()
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
    """The runtime of an engine directory; see deploy.engine.open_runtime.

    Raises UserError where the version (of TensorRT for a bare plan) or the GPU is not the one it was built for.
    """
    if options["bare"]:
        return runner.open_runtime(directory, manifest, options)
    runner.check_origin(directory, manifest, load_torch_tensorrt().__version__, travels=False)
    return TorchTensorRTRuntime(directory / PROGRAM)
