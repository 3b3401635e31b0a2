"""One interface to every engine: open a directory, put a batch in, get a batch out."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from limner.core.bundle import bundle_hash, bundle_signature, load_bundle_config, load_generator
from limner.core.images import from_uint8, to_uint8
from limner.core.signature import Port, Signature
from limner.core.util.errors import UserError
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.manifest import MANIFEST, Backend, Hint, Manifest, Source, read_manifest

Array = npt.NDArray[Any]

ANY_BATCH = BatchProfile(1, 1, 1 << 16)

RUNTIMES: dict[Backend, str] = {
    "openvino": "limner.deploy.runtimes.openvino.runner",
    "onnxruntime": "limner.deploy.runtimes.onnxruntime",
    "tensorrt": "limner.deploy.trt.runner",
    "tensorrt-rtx": "limner.deploy.trt.runner",
    "torch-tensorrt": "limner.deploy.trt.torch_trt",
}
"""The module of each backend, imported when one of its engines is opened; each has `open_runtime`."""


class Runtime(Protocol):
    """What a backend brings: arrays by port name in, the output array out; safe to call from several threads."""

    def run(self, inputs: Mapping[str, Array]) -> Array:
        """inputs: C-contiguous, in the ports' shapes and dtypes. Returns an array that the caller owns."""
        ...

    def close(self) -> None:
        """Give back memory and handles; nothing runs after it."""
        ...


class Engine:
    """A generator that runs: checks what goes in, converts pictures where the graph works on floats, runs it.

    A context manager; `infer` may be called from several threads.
    """

    def __init__(
        self, name: str, signature: Signature, batch: BatchProfile, runtime: Runtime, source: Source | None = None
    ) -> None:
        """name: what error messages call it; source: the bundle it was made from, where that is known."""
        self.name = name
        self.source = source
        self.signature = signature
        self.batch = batch
        self.runtime = runtime

    def infer(self, batch: Array, style: Array | None = None) -> Array:
        """Photos, or latents, to pictures.

        batch: (N, C, H, W) float32 in [-1, 1] gives the same; (N, H, W, C) uint8 gives uint8; latents (N, Z) float32
            give (N, C, H, W) float32, or uint8 pictures from an engine with pixels in its graph.
        style: (N,) int64 style numbers, where the generator is conditioned on one.
        Raises UserError for another shape, dtype or batch size.
        """
        main = self.signature.inputs[0]
        pictures = batch.dtype == np.uint8 and main.dtype == "float32"
        if pictures and batch.ndim == 4:
            batch = from_uint8(batch)
        inputs = {main.name: self._checked(main, batch)}
        for port in self.signature.inputs[1:]:
            inputs[port.name] = self._checked_style(port, style, len(batch))
        if style is not None and len(inputs) == 1:
            raise UserError(f"{self.name} was not trained with styles: leave the style out")
        result = self.runtime.run(inputs)
        return to_uint8(result) if pictures else result

    def _checked(self, port: Port, batch: Array) -> Array:
        if batch.shape[1:] != port.shape or batch.dtype != port.dtype:
            raise UserError(
                f"{self.name}: got {port.name} {batch.shape} {batch.dtype}, takes {_describe(port)}: convert it"
            )
        if not self.batch.minimum <= len(batch) <= self.batch.maximum:
            raise UserError(
                f"{self.name}: got a batch of {len(batch)}, takes {self.batch.minimum} to {self.batch.maximum}: "
                "split it, or build the engine with another --batch"
            )
        return np.ascontiguousarray(batch)

    def _checked_style(self, port: Port, style: Array | None, count: int) -> Array:
        styles = self.signature.styles
        if style is None or style.shape != (count,) or style.min() < 0 or style.max() >= styles:
            got = "none" if style is None else f"{style.shape} {style.tolist()[:8]}"
            raise UserError(f"{self.name}: got style {got}, takes one number of 0 to {styles - 1} for each of {count}")
        return np.ascontiguousarray(style, port.dtype)

    def close(self) -> None:
        """Give back memory and handles."""
        self.runtime.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _describe(port: Port) -> str:
    if port.dtype == "uint8":
        return f"{('N', *port.shape)} uint8".replace("'", "")
    shape = f"{('N', *port.shape)}".replace("'", "")
    if len(port.shape) != 3:
        return f"{shape} {port.dtype}"
    channels, height, width = port.shape
    return f"{shape} float32 in [-1, 1] or (N, {height}, {width}, {channels}) uint8"


def open_engine(directory: Path | str, *, threads: int | None = None, hint: Hint | None = None) -> Engine:
    """The engine of a directory that build_engine.py made, ready to run.

    threads, hint: how a CPU runtime works; None: as it was built (0 threads: as many as there are cores).
    Raises UserError for a directory that is no engine, files that are not those that were built, or a machine that
    cannot run it.
    """
    manifest = read_manifest(directory)
    changed = {"threads": threads, "hint": hint}
    options = manifest.options | {key: value for key, value in changed.items() if value is not None}
    runtime = open_runtime(Path(directory), manifest, options)
    return Engine(str(directory), manifest.signature, manifest.batch, runtime, manifest.source)


def open_runtime(directory: Path, manifest: Manifest, options: dict[str, Any]) -> Runtime:
    """The runtime of a manifest's backend on the files in `directory`, which are taken to be checked."""
    module = importlib.import_module(RUNTIMES[manifest.backend])
    runtime: Runtime = module.open_runtime(directory, manifest, options)
    return runtime


def open_bundle(directory: Path | str, *, device: torch.device | str = "cpu", compiled: bool = False) -> Engine:
    """A model bundle behind the same interface: torch in fp32, eager or compiled; what engines are compared with."""
    from limner.deploy.runtimes.pytorch import TorchRuntime

    config = load_bundle_config(directory)
    generator = load_generator(directory).to(device)
    source = Source(bundle_hash(directory), config.task, config.image_size, config.fit, config.styles)
    runtime = TorchRuntime(generator, compiled=compiled)
    return Engine(str(directory), bundle_signature(config), ANY_BATCH, runtime, source)


def open_model(directory: Path | str, *, device: torch.device | str = "cpu") -> Engine:
    """A model bundle or an engine directory alike; device: of a bundle, an engine has its own."""
    if (Path(directory) / MANIFEST).is_file():
        return open_engine(directory)
    return open_bundle(directory, device=device)
