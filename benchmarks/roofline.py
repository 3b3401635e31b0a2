"""The machine's own limits, measured, and how near to them work comes (Williams et al. 2009, "Roofline")."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from limner.benchmarks.harness import Candidate, Effort, measure
from limner.core.training.precision import has_fast_bf16

ROUNDS = Effort(least=5, most=5, seconds=0.0, warm_up=5)
COPY_BYTES = 2**28
"""Larger than any cache."""


@dataclass(frozen=True)
class Limits:
    """What a matrix product and a copy of memory reach on this machine, at their best of a few runs."""

    matrix_gflops: dict[str, float]
    """1e9 floating-point operations a second, two for each multiplication with its addition, by precision."""
    copy_gbytes: float
    """1e9 bytes a second, read and written ones together."""

    def share(self, work: "Work", seconds: float, precision: str) -> float | None:
        """The larger of two shares: of the matrix rate in `precision` and of the bandwidth; None if there is no rate.

        int8 is held against the fp32 rate.
        """
        shares = self.shares(work, seconds, precision)
        return max(shares.values()) if "matrix" in shares else None

    def shares(self, work: "Work", seconds: float, precision: str) -> dict[str, float]:
        """Of the bandwidth, and of the matrix rate where there is one for `precision`."""
        shares = {"bandwidth": work.bytes / self.copy_gbytes / seconds / 1e9}
        rate = self.matrix_gflops.get("fp32" if precision == "int8" else precision)
        return shares if rate is None else {"matrix": work.flop / rate / seconds / 1e9} | shares


@dataclass(frozen=True)
class Work:
    """What a run has to do at least."""

    flop: float
    bytes: float
    """Read and written by its convolutions, had everything else been fused into them: weights, inputs and outputs."""


def measure_limits(device: torch.device, quick: bool) -> Limits:
    """Square matrix products in each precision that the device has as such, and a copy of 256 MiB.

    On a GPU fp32 products are rounded as its convolutions are, which torch lets use TF32.
    """
    side = (1024 if quick else 2048) if device.type == "cpu" else 8192
    dtypes = {"fp32": torch.float32}
    if has_fast_bf16(device):
        dtypes["bf16"] = torch.bfloat16
    if device.type == "cuda":
        dtypes["fp16"] = torch.float16
    rates = {}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    for name, dtype in dtypes.items():
        a, b = torch.randn(2, side, side, device=device).to(dtype)
        rates[name] = 2.0 * side**3 / _best_seconds(lambda a=a, b=b: a @ b, device) / 1e9  # type: ignore[misc]
    source = torch.zeros(COPY_BYTES // 4, device=device)
    target = torch.zeros_like(source)
    seconds = _best_seconds(lambda: target.copy_(source), device)
    return Limits(rates, 2.0 * COPY_BYTES / seconds / 1e9)


def _best_seconds(run: Callable[[], object], device: torch.device) -> float:
    return min(measure({"": Candidate(run)}, device, ROUNDS)[""].times_ms) / 1000.0


def count_work(run: Callable[[], object], *networks: nn.Module) -> Work:
    """The work of `run`, counted as it runs once; bytes are those of the convolutions' forward passes.

    A convolution's backward pass moves about twice as much; training is therefore held against `flop` alone.
    """
    moved = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal moved
        tensors = [*inputs, output, *layer.parameters()]
        moved += sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    convolutions = [
        layer
        for network in networks
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    hooks = [layer.register_forward_hook(count) for layer in convolutions]
    try:
        with FlopCounterMode(display=False) as counter:
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return Work(float(counter.get_total_flops()), float(moved))
