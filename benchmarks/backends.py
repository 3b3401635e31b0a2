"""What infer.py sets side by side: the bundle in torch, in several ways, and engines, given or built for the run."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from limner.core.bundle import bundle_hash, bundle_signature, load_bundle_config, load_generator
from limner.core.training.precision import has_fast_bf16
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.build import BuildOptions, build
from limner.deploy.engine import ANY_BATCH, RUNTIMES, Engine, open_engine
from limner.deploy.manifest import Hint, Precision, read_manifest
from limner.deploy.runtimes.pytorch import TorchRuntime

BASELINE = "torch"


@dataclass(frozen=True)
class Backend:
    """A way to run the generator."""

    name: str
    precision: str
    """That it calculates in."""
    open: Callable[[Hint], Engine]
    """The engine, tuned for latency or throughput where it knows the difference."""
    callers: int = 1
    """Threads that ask at once when throughput counts."""
    directory: Path | None = None
    """Of an engine; None for the bundle in torch."""
    options: dict[str, Any] = field(default_factory=dict, compare=False)
    """Of an engine, from its manifest."""


class Recast(nn.Module):
    """A generator run in channels_last and, by autocast, in a precision."""

    def __init__(self, generator: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dtype = dtype

    def forward(self, batch: Tensor, *rest: Tensor) -> Tensor:
        """See the generator."""
        if batch.ndim == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.autocast(batch.device.type, self.dtype, enabled=self.dtype != torch.float32):
            result: Tensor = self.generator(batch, *rest)
        return result


TORCH: dict[str, tuple[str, Callable[[nn.Module], nn.Module]]] = {
    BASELINE: ("fp32", lambda generator: generator),
    "torch-channels-last": ("fp32", lambda generator: Recast(generator, torch.float32)),
    "torch-bf16": ("bf16", lambda generator: Recast(generator, torch.bfloat16)),
    "torch-fp16": ("fp16", lambda generator: Recast(generator, torch.float16)),
    "torch-compile": ("fp32", lambda generator: generator),
    # Compiled with CUDA graphs: what a GPU without TensorRT has to offer.
    "torch-fp16-graphs": ("fp16", lambda generator: _with_graphs(Recast(generator, torch.float16))),
}
"""The bundle in torch by name: the precision that it calculates in, and what is made of the generator."""


def _with_graphs(generator: nn.Module) -> nn.Module:
    generator.compile(mode="reduce-overhead")
    return generator


def torch_backend(name: str, model: Path, device: torch.device) -> Backend:
    """One of TORCH; UserError where this machine cannot, or not as such."""
    precision, change = TORCH[name]
    if precision == "bf16" and not has_fast_bf16(device):
        raise UserError("no hardware bf16")
    if precision == "fp16" and device.type != "cuda":
        raise UserError("fp16 in torch needs a GPU")

    def open_it(hint: Hint) -> Engine:
        generator = change(load_generator(model).to(device))
        signature = bundle_signature(load_bundle_config(model))
        return Engine(name, signature, ANY_BATCH, TorchRuntime(generator, compiled=name == "torch-compile"))

    return Backend(name, precision, open_it)


def engine_backend(directory: Path, model: Path, threads: int) -> Backend:
    """An engine directory; UserError where it is another generator's."""
    manifest = read_manifest(directory)
    precision = manifest.precision
    if manifest.source.bundle_hash != bundle_hash(model):
        raise UserError(
            f"{directory}: made from another model than {model}: give --model its bundle, or build it again"
        )
    on_cpu = "threads" in manifest.options
    executed = precision.executed if precision.executed != "unknown" else precision.asked
    return Backend(
        name=manifest.backend if executed == precision.asked else f"{manifest.backend}, {precision.stored} weights",
        precision=executed,
        open=lambda hint: open_engine(directory, threads=threads, hint=hint) if on_cpu else open_engine(directory),
        callers=2,
        directory=directory,
        options=manifest.options,
    )


def build_engine(asked: str, model: Path, scratch: Path, options: BuildOptions) -> Path:
    """An engine directory made for the run; UserError where it cannot be made.

    asked: a backend, in its default precision, or BACKEND:PRECISION.
    """
    name, _, precision = asked.partition(":")
    out = scratch / asked.replace(":", "-")
    try:
        options = replace(options, backend=name, precision=precision or "auto")  # type: ignore[arg-type]
        manifest = build(model, out, options, report=lambda line: None)
    except LimnerError as error:
        raise UserError(str(error)) from error
    if manifest.parity == "not run":
        raise UserError("built, but this machine cannot run it")
    return out


def find_backends(
    names: tuple[str, ...],
    engines: tuple[Path, ...],
    model: Path,
    device: torch.device,
    options: BuildOptions,
    scratch: Path,
) -> tuple[list[Backend], dict[str, str]]:
    """The backends, the baseline first and the engines given last; and why others that were asked for cannot be had.

    An engine backend that is named and not among `engines` is built under `scratch`, by `options`.
    """
    precise = {f"{name}:{precision}" for name in RUNTIMES for precision in get_args(Precision)}
    unknown = sorted(set(names) - set(TORCH) - set(RUNTIMES) - precise)
    if unknown:
        allowed = ", ".join([*TORCH, *RUNTIMES])
        raise UserError(f"unknown backends {', '.join(unknown)} (allowed: {allowed}; engines also as in openvino:int8)")
    given = [engine_backend(directory, model, options.threads) for directory in engines]
    found: list[Backend] = []
    missing: dict[str, str] = {}
    for name in dict.fromkeys((BASELINE, *names)):
        if any(backend.name == name for backend in given):
            continue
        try:
            if name in TORCH:
                found.append(torch_backend(name, model, device))
            else:
                directory = build_engine(name, model, scratch, options)
                found.append(engine_backend(directory, model, options.threads))
        except UserError as error:
            missing[name] = str(error)
    return found + given, missing
