"""What infer.py compares: the bundle in torch, in several variants, and engines, given or built for the run."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from limner.core.bundle import bundle_hash, load_bundle_config, load_generator
from limner.core.training.precision import has_fast_bf16
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.backends import BACKENDS
from limner.deploy.build import build
from limner.deploy.engine import ANY_BATCH, Engine, open_engine
from limner.deploy.manifest import Hint, Precision, read_manifest
from limner.deploy.options import BuildOptions
from limner.deploy.runtimes.pytorch import TorchRuntime

BASELINE = "torch"


@dataclass(frozen=True)
class Contender:
    """One way to run the generator."""

    name: str
    """As rows have it under `backend`."""
    precision: str
    """That it computes in."""
    open: Callable[[Hint], Engine]
    """Opens it, tuned for latency or throughput if its backend knows the difference."""
    callers: int = 1
    """Threads that call it concurrently when throughput is measured."""
    directory: Path | None = None
    """Of an engine; None for the bundle in torch."""
    options: dict[str, Any] = field(default_factory=dict, compare=False)
    """Of an engine, from its manifest."""


class Recast(nn.Module):
    """A generator in channels_last and, by autocast, in another precision."""

    def __init__(self, generator: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dtype = dtype

    def forward(self, batch: Tensor, *rest: Tensor) -> Tensor:
        """Run the generator; shapes and dtypes are its own."""
        if batch.ndim == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.autocast(batch.device.type, self.dtype, enabled=self.dtype != torch.float32):
            result: Tensor = self.generator(batch, *rest)
        return result


def _with_cuda_graphs(generator: nn.Module) -> nn.Module:
    generator.compile(mode="reduce-overhead")
    return generator


TORCH_VARIANTS: dict[str, tuple[str, Callable[[nn.Module], nn.Module]]] = {
    BASELINE: ("fp32", lambda generator: generator),
    "torch-channels-last": ("fp32", lambda generator: Recast(generator, torch.float32)),
    "torch-bf16": ("bf16", lambda generator: Recast(generator, torch.bfloat16)),
    "torch-fp16": ("fp16", lambda generator: Recast(generator, torch.float16)),
    "torch-compile": ("fp32", lambda generator: generator),  # compiled by its runtime
    "torch-fp16-graphs": ("fp16", lambda generator: _with_cuda_graphs(Recast(generator, torch.float16))),
}
"""The bundle in torch by name: the precision that it computes in, and how the generator is changed."""


def torch_contender(name: str, model: Path, device: torch.device) -> Contender:
    """Make one of TORCH_VARIANTS; UserError if this machine lacks hardware support for it."""
    precision, change = TORCH_VARIANTS[name]
    if precision == "bf16" and not has_fast_bf16(device):
        raise UserError("no hardware bf16")
    if precision == "fp16" and device.type != "cuda":
        raise UserError("fp16 in torch needs a GPU")

    def open_torch(hint: Hint) -> Engine:
        generator = change(load_generator(model).to(device))
        signature = load_bundle_config(model).signature
        return Engine(name, signature, ANY_BATCH, TorchRuntime(generator, compiled=name == "torch-compile"))

    return Contender(name, precision, open_torch)


def engine_contender(directory: Path, model: Path, threads: int | None) -> Contender:
    """Make a contender of an engine directory; UserError if it was built from another model."""
    manifest = read_manifest(directory)
    precision = manifest.precision
    if manifest.source.bundle_hash != bundle_hash(model):
        raise UserError(
            f"{directory}: built from another model than {model}: give --model its bundle, or build it again"
        )
    executed = precision.executed or precision.requested
    return Contender(
        name=manifest.backend if executed == precision.requested else f"{manifest.backend}, {precision.stored} weights",
        precision=executed,
        open=lambda hint: open_engine(
            directory,
            threads=threads if "threads" in manifest.options else None,
            hint=hint if "hint" in manifest.options else None,
        ),
        callers=2,
        directory=directory,
        options=manifest.options,
    )


def build_engine(requested: str, model: Path, scratch: Path, options: BuildOptions) -> Path:
    """Build an engine directory for the run; UserError if that fails.

    requested: a backend, in its default precision, or BACKEND:PRECISION.
    """
    backend, _, precision = requested.partition(":")
    out = scratch / requested.replace(":", "-")
    threads = options.threads if "threads" in BACKENDS[backend].options else None  # type: ignore[index]
    changes: dict[str, Any] = {"backend": backend, "precision": precision or "auto", "threads": threads}
    try:
        options = replace(options, **changes)
        manifest = build(model, out, options, report=lambda line: None)
    except LimnerError as error:
        raise UserError(str(error)) from error
    if manifest.parity is None:
        raise UserError("built, but this machine cannot run it")
    return out


def check_names(names: tuple[str, ...]) -> None:
    """Raise UserError for a name that is neither a torch variant nor a backend, alone or with a precision."""
    with_precision = {f"{name}:{precision}" for name in BACKENDS for precision in get_args(Precision)}
    unknown = sorted(set(names) - set(TORCH_VARIANTS) - set(BACKENDS) - with_precision)
    if unknown:
        allowed = ", ".join([*TORCH_VARIANTS, *BACKENDS])
        raise UserError(f"unknown backends {', '.join(unknown)} (allowed: {allowed}; engines also as in openvino:int8)")


def find_contenders(
    names: tuple[str, ...],
    engines: tuple[Path, ...],
    model: Path,
    device: torch.device,
    options: BuildOptions,
    scratch: Path,
) -> tuple[list[Contender], dict[str, str]]:
    """Return the contenders, the baseline first and given engines last, and why others that are named are missing.

    A backend that is named and not among `engines` is built under `scratch` with `options`.
    """
    check_names(names)
    given = [engine_contender(directory, model, options.threads) for directory in engines]
    found: list[Contender] = []
    missing: dict[str, str] = {}
    for name in dict.fromkeys((BASELINE, *names)):
        if any(contender.name == name for contender in given):
            continue
        try:
            if name in TORCH_VARIANTS:
                found.append(torch_contender(name, model, device))
            else:
                directory = build_engine(name, model, scratch, options)
                found.append(engine_contender(directory, model, options.threads))
        except UserError as error:
            missing[name] = str(error)
    return found + given, missing
