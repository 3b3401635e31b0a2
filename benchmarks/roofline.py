"""The roofline of this machine, measured, and how close a workload comes to it (Williams et al. 2009, "Roofline")."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from limner.benchmarks.harness import stopwatch
from limner.core.training.precision import has_fast_bf16
from limner.core.util.timing import Candidate, TimingBudget, time_interleaved

BUDGET = TimingBudget(min_repeats=5, max_repeats=5, seconds=0.0, warm_up=5)
COPY_BYTES = 2**28
"""Larger than any cache."""


@dataclass(frozen=True)
class Workload:
    """The least that a run has to compute and move."""

    flop: float
    bytes: float
    """Read and written by its convolutions if everything else were fused into them: weights, inputs and outputs."""


@dataclass(frozen=True)
class Limits:
    """The best rates of a matrix product and of a memory copy on this machine in a few runs."""

    matrix_gflops: dict[str, float]
    """GFLOP/s by precision; a multiply-add is two operations."""
    copy_gbytes: float
    """GB/s, reads and writes together."""

    def roofline_fraction(self, workload: Workload, seconds: float, precision: str) -> float | None:
        """Return the larger of `fractions`; None if there is no matrix rate for the precision."""
        fractions = self.fractions(workload, seconds, precision)
        return max(fractions.values()) if "matrix" in fractions else None

    def fractions(self, workload: Workload, seconds: float, precision: str) -> dict[str, float]:
        """Return the fraction of the bandwidth and, if the precision has one, of the matrix rate (int8: fp32's)."""
        fractions = {"bandwidth": workload.bytes / self.copy_gbytes / seconds / 1e9}
        rate = self.matrix_gflops.get("fp32" if precision == "int8" else precision)
        return fractions if rate is None else {"matrix": workload.flop / rate / seconds / 1e9} | fractions


def measure_limits(device: torch.device, quick: bool) -> Limits:
    """Time square matrix products in each precision with hardware support, and a copy of 256 MiB.

    On a GPU fp32 products are rounded as its convolutions are, for which torch allows TF32.
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
    timings = time_interleaved({run: Candidate(run)}, BUDGET, stopwatch=stopwatch(device))
    return min(timings[run].times_ms) / 1000.0


def count_workload(run: Callable[[], object], *networks: nn.Module) -> Workload:
    """Count the operations of one run, and the bytes of the networks' convolutions in their forward passes.

    A convolution's backward pass moves about twice as much; a training step is therefore compared by `flop` alone.
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
    return Workload(float(counter.get_total_flops()), float(moved))
