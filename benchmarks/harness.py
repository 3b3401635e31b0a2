"""What the benchmarks add to interleaved timing: budgets, loops as timed regions, threads, peak memory."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from limner.core.util.timing import Candidate, Stopwatch, TimingBudget, cuda_events_ms, wall_clock_ms

MIB = 2**20
FULL = TimingBudget(min_repeats=7, max_repeats=200, seconds=60.0, warm_up=6)
QUICK = TimingBudget(min_repeats=3, max_repeats=10, seconds=2.0, warm_up=3)


def stopwatch(device: torch.device) -> Stopwatch:
    """Choose CUDA events for work on a GPU, the host's clock for a CPU."""
    return cuda_events_ms if device.type == "cuda" else wall_clock_ms


def loop(run: Callable[[], object], steps: int, warm_up_steps: int) -> Candidate:
    """Make a candidate of `steps` runs in one timed region, after untimed ones that bring them to a steady state."""

    def repeat(count: int) -> None:
        for _ in range(count):
            run()

    return Candidate(lambda: repeat(steps), prepare=lambda: repeat(warm_up_steps))


def fix_threads(threads: int) -> int:
    """Limit torch to `threads` threads (0: one per core) and, on Linux, this process to as many cores.

    Returns the number of threads.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    threads = min(threads or len(cores), len(cores))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores[:threads])
    torch.set_num_threads(threads)
    return threads


class Memory:
    """The result of `peak_memory`."""

    peak_mib: float | None = None
    """None where it cannot be measured."""


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Memory]:
    """Measure in MiB how far memory use rises within the block above what was in use before it.

    On a GPU: torch's allocations; on Linux: the process's resident memory; elsewhere None, since no other system lets a
    process reset its peak.
    """
    memory = Memory()
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield memory
        memory.peak_mib = (torch.cuda.max_memory_allocated(device) - before) / MIB
    elif reset.exists() and os.access(reset, os.W_OK):
        reset.write_text("5", encoding="ascii")  # resets the peak: proc(5)
        resident = _status_mib(status, "VmRSS")
        yield memory
        memory.peak_mib = _status_mib(status, "VmHWM") - resident
    else:
        yield memory


def _status_mib(status: Path, field: str) -> float:
    lines: Sequence[str] = status.read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024.0
