"""One interface to every engine: open a directory, put a batch in, get a batch out. Imports torch for bundles alone."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from limner.core.images import from_uint8, to_uint8
from limner.core.signature import Port, Signature
from limner.core.util.errors import UserError
from limner.deploy.backends import load_runner, refuse_unsupported
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.manifest import Hint, Manifest, Source, read_manifest

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

ANY_BATCH = BatchProfile(1, 1, 1 << 16)


class Runtime(Protocol):
    """A backend's way to run a generator; `run` may be called from several threads."""

    def run(self, inputs: Mapping[str, Array]) -> Array:
        """Run one batch: arrays by port name, C-contiguous, in the ports' shapes and dtypes.

        Returns the output port's array, which the caller owns.
        """
        ...

    def close(self) -> None:
        """Release memory and handles; nothing runs after it."""
        ...


class Engine:
    """A generator that is ready to run: checks its inputs, and converts images for a graph that takes floats.

    A context manager; `infer` may be called from several threads.
    """

    def __init__(
        self, name: str, signature: Signature, batch: BatchProfile, runtime: Runtime, source: Source | None = None
    ) -> None:
        """name: for error messages; source: the bundle that the engine was built from, where that is known."""
        self.name = name
        self.source = source
        self.signature = signature
        self.batch = batch
        self.runtime = runtime

    def infer(self, batch: Array, style: Array | None = None) -> Array:
        """Generate images from photos or latents.

        batch: (N, C, H, W) float32 in [-1, 1] gives the same; (N, H, W, C) uint8 gives uint8; latents (N, Z) float32
            give (N, C, H, W) float32, or (N, H, W, C) uint8 from an engine whose graph has uint8 output.
        style: (N,) integers, the numbers of styles, where the generator is conditioned on one.
        Raises UserError for another shape, dtype or batch size.
        """
        main = self.signature.inputs[0]
        convert = batch.dtype == np.uint8 and main.dtype == "float32"
        if convert and batch.ndim == 4:
            batch = from_uint8(batch)
        inputs = {main.name: self._checked(main, batch)}
        for port in self.signature.inputs[1:]:
            inputs[port.name] = self._checked_style(port, style, len(batch))
        if style is not None and len(inputs) == 1:
            raise UserError(f"{self.name} was not trained with styles: leave the style out")
        result = self.runtime.run(inputs)
        return to_uint8(result) if convert else result

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
        """Release memory and handles."""
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
    """Open the engine of a directory that `limner build` wrote.

    threads, hint: override how a CPU engine was built (0 threads: as many as the runtime chooses).
    Raises UserError for a directory that is no engine, files that are not those that were built, an option that the
    backend does not have, or a machine that cannot run it.
    """
    manifest = read_manifest(directory)
    given = {name: value for name, value in {"threads": threads, "hint": hint}.items() if value is not None}
    refuse_unsupported(manifest.backend, given)
    runtime = open_runtime(Path(directory), manifest, manifest.options | given)
    return Engine(str(directory), manifest.signature, manifest.batch, runtime, manifest.source)


def open_runtime(directory: Path, manifest: Manifest, options: dict[str, Any]) -> Runtime:
    """Open the files in `directory`, which must have been checked, with the runner of the manifest's backend."""
    runtime: Runtime = load_runner(manifest.backend).open_runtime(directory, manifest, options)
    return runtime


def open_bundle(
    directory: Path | str, *, device: "torch.device | str" = "cpu", compiled: bool = False, float64: bool = False
) -> Engine:
    """Open a model bundle behind the same interface: torch in fp32, eager or compiled; what engines are compared to.

    float64: calculate in float64, so that an image does not depend on the batch that it is generated in: batches of
        different sizes add up in different orders, but the difference is far below a step of 8 bits then.
    """
    from limner.core.bundle import bundle_hash, load_bundle_config, load_generator
    from limner.deploy.runtimes.pytorch import TorchRuntime

    config = load_bundle_config(directory)
    generator = load_generator(directory).to(device)
    source = Source(
        bundle_hash(directory), config.task, config.image_size, config.fit, config.styles, config.default_style
    )
    runtime = TorchRuntime(generator.double() if float64 else generator, compiled=compiled)
    return Engine(str(directory), config.signature, ANY_BATCH, runtime, source)
