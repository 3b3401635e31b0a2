"""ExecuTorch, for phones: the generator exported for XNNPACK, run here by the Python package."""

import copy
import platform
import threading
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from limner.core.signature import Signature
from limner.core.util.errors import UserError
from limner.deploy.backends import BackendName
from limner.deploy.builder import BuildJob
from limner.deploy.manifest import Manifest, Precision
from limner.deploy.options import BuildOptions
from limner.deploy.runtimes.single import example_inputs, single_images

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about its own calls
    from executorch.runtime import Runtime, Verification

PROGRAM = "model.pte"


class ExecuTorchRuntime:
    """A program for one image, which runs a batch image by image."""

    def __init__(self, program: Path, signature: Signature) -> None:
        self.signature = signature
        self.program = Runtime.get().load_program(str(program), verification=Verification.Minimal)
        self.forward = self.program.load_method("forward")
        self.lock = threading.Lock()

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See deploy.engine.Runtime."""
        with self.lock:
            return np.concatenate([self._run_one(image) for image in single_images(self.signature, inputs)])

    def _run_one(self, image: tuple[npt.NDArray[Any], ...]) -> npt.NDArray[Any]:
        result: npt.NDArray[Any] = self.forward.execute([torch.from_numpy(value.copy()) for value in image])[0].numpy()
        return result.copy()  # the program's own memory otherwise

    def close(self) -> None:
        """Release the program."""
        del self.forward, self.program


def open_runtime(directory: Path, manifest: Manifest, options: Mapping[str, Any]) -> ExecuTorchRuntime:
    """Open an engine directory; see deploy.engine.open_runtime."""
    return ExecuTorchRuntime(directory / PROGRAM, manifest.signature)


class PrimitiveInstanceNorm(nn.Module):
    """Instance norm as means and products: XNNPACK does not take the operator, and would get 14 pieces of a U-Net."""

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self.eps = norm.eps
        self.weight, self.bias = norm.weight[:, None, None], norm.bias[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        centred = x - x.mean((2, 3), keepdim=True)
        variance = (centred * centred).mean((2, 3), keepdim=True)
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias


def with_primitive_norms(module: nn.Module) -> nn.Module:
    """A copy whose instance norms are PrimitiveInstanceNorm."""
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                setattr(parent, name, PrimitiveInstanceNorm(child))
    return module


class ExecuTorchBuilder:
    """ExecuTorch as deploy.builder.EngineBuilder."""

    device_type: Literal["cpu", "cuda"] = "cpu"
    runs_here = True
    storage_only: tuple[Precision, ...] = ()

    def version(self) -> str:
        """The package's version."""
        return version("executorch")

    def device(self) -> str:
        """The processor's kind; ExecuTorch does not say more."""
        return platform.processor() or platform.machine()

    def options(self) -> dict[str, Any]:
        """None."""
        return {}

    def check_precision(self, requested: Precision) -> None:
        """Raise UserError for all but fp32."""
        if requested != "fp32":
            raise UserError(
                f"precision {requested}: executorch engines are built in fp32: take that, or ncnn for half the size"
            )

    def build(self, job: BuildJob) -> None:
        """Export the generator and lower it to XNNPACK."""
        examples = tuple(map(torch.from_numpy, example_inputs(job.float_signature)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about its own calls in the exporter
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower

            exported = torch.export.export(with_primitive_norms(job.generator), examples)
            program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
        (job.directory / PROGRAM).write_bytes(program.buffer)

    def executed_precision(self, job: BuildJob) -> str:
        """The program's own: XNNPACK calculates in the types that it is given."""
        return "fp32"


def make_builder(backend: BackendName, options: BuildOptions) -> ExecuTorchBuilder:
    """The builder."""
    return ExecuTorchBuilder()
