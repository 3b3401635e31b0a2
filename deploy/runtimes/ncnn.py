"""ncnn, for phones: a graph and its weights by pnnx from TorchScript, run here by the Python package."""

import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import ncnn
import numpy as np
import numpy.typing as npt

from limner.core.signature import Signature
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.backends import BACKENDS, BackendName, explain_missing
from limner.deploy.builder import BuildJob
from limner.deploy.manifest import Manifest, Precision
from limner.deploy.options import BuildOptions
from limner.deploy.runtimes.single import example_inputs, single_images

PARAM, WEIGHTS = "model.ncnn.param", "model.ncnn.bin"
"""The graph and its weights, by pnnx's own names; inputs are in0 and in1 (the style, one-hot), the output is out0."""


class NcnnRuntime:
    """One net, which several threads may share; runs a batch image by image."""

    def __init__(self, directory: Path, signature: Signature, precision: Precision, threads: int = 0) -> None:
        """threads: 0 for as many as ncnn chooses."""
        self.signature = signature
        self.net = ncnn.Net()
        options = self.net.opt
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = precision == "fp16"
        if threads:
            options.num_threads = threads
        if self.net.load_param(str(directory / PARAM)) or self.net.load_model(str(directory / WEIGHTS)):
            raise LimnerError(f"{directory}: ncnn {ncnn.__version__} cannot load the engine: build it again")

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See deploy.engine.Runtime."""
        return np.stack([self._run_one(image) for image in single_images(self.signature, inputs)])

    def _run_one(self, image: tuple[npt.NDArray[Any], ...]) -> npt.NDArray[Any]:
        """Inputs with a batch of 1 -> the image (C, H, W); ncnn knows no batches."""
        extractor = self.net.create_extractor()
        for i, value in enumerate(image):
            extractor.input(f"in{i}", ncnn.Mat(np.ascontiguousarray(value[0])).clone())
        status, result = extractor.extract("out0")
        if status:
            raise LimnerError(f"ncnn: the engine failed with status {status}")
        return np.array(result)

    def close(self) -> None:
        """Release the net."""
        self.net.clear()


def open_runtime(directory: Path, manifest: Manifest, options: Mapping[str, Any]) -> NcnnRuntime:
    """Open an engine directory; see deploy.engine.open_runtime."""
    return NcnnRuntime(directory, manifest.signature, manifest.precision.requested, options["threads"])


class NcnnBuilder:
    """ncnn as deploy.builder.EngineBuilder."""

    device_type: Literal["cpu", "cuda"] = "cpu"
    runs_here = True
    storage_only: tuple[Precision, ...] = ("fp16",)

    def __init__(self, threads: int) -> None:
        """UserError where pnnx is missing."""
        with explain_missing("backend ncnn", BACKENDS["ncnn"].install):
            import pnnx  # not needed to run an engine
        self.pnnx, self.threads = pnnx.EXEC_PATH, threads

    def version(self) -> str:
        """The package's version."""
        return version("ncnn")

    def device(self) -> str:
        """The processor's kind; ncnn does not say more."""
        return platform.processor() or platform.machine()

    def options(self) -> dict[str, Any]:
        """Threads."""
        return {"threads": self.threads}

    def check_precision(self, requested: Precision) -> None:
        """Raise UserError for bf16 and int8."""
        if requested not in ("fp32", "fp16"):
            raise UserError(f"precision {requested}: ncnn engines are built in fp16 or fp32: take one of these")

    def build(self, job: BuildJob) -> None:
        """Trace the generator and convert it."""
        import torch

        examples = tuple(map(torch.from_numpy, example_inputs(job.float_signature)))
        with tempfile.TemporaryDirectory() as scratch:
            traced = Path(scratch) / "model.pt"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tracing is deprecated, but pnnx reads nothing else
                torch.jit.trace(job.generator, examples).save(str(traced))  # type: ignore[no-untyped-call]
            half = f"fp16={int(job.precision == 'fp16')}"
            done = subprocess.run([self.pnnx, str(traced), half], capture_output=True, text=True, check=False)
            for name in (PARAM, WEIGHTS):
                if not (Path(scratch) / name).is_file():
                    raise LimnerError(f"pnnx wrote no {name} (exit code {done.returncode}): {done.stderr[-200:]}")
                shutil.move(Path(scratch) / name, job.directory / name)

    def executed_precision(self, job: BuildJob) -> str | None:
        """fp32 for fp32; None for fp16, which ncnn calculates in half only on processors that can, unreported."""
        return "fp32" if job.precision == "fp32" else None


def make_builder(backend: BackendName, options: BuildOptions) -> NcnnBuilder:
    """The builder with a user's options."""
    return NcnnBuilder(options.cpu.threads)
