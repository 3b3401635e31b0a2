"""How everything here is measured: warmed up until stable, in turns, with nothing else in the timed region.

Candidates of one comparison take turns in every round, in another order each round, so that whatever else the machine
does hurts all alike. Ratios are taken round by round, and their spread is that of single rounds.
"""

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from limner.deploy.latency import SETTLE_S

MIB = 2**20


@dataclass(frozen=True)
class Effort:
    """How long a comparison goes on: rounds until `seconds` are over, at least `least` and at most `most`."""

    least: int
    most: int
    seconds: float
    warm_up: int
    """Runs of a candidate before the first round, at most; fewer where it is stable sooner."""


FULL = Effort(least=7, most=200, seconds=60.0, warm_up=6)
QUICK = Effort(least=3, most=10, seconds=2.0, warm_up=3)

STABLE = 0.1
"""A candidate is warm when its last three runs lie within this fraction of the fastest of them."""


@dataclass(frozen=True)
class Candidate:
    """What is timed, and what comes before each time, untimed."""

    run: Callable[[], object]
    prepare: Callable[[], object] | None = None


def stretch(run: Callable[[], object], times: int, lead: int) -> Candidate:
    """`times` runs as one, after `lead` untimed ones that bring them to a steady state."""

    def repeat(count: int) -> None:
        for _ in range(count):
            run()

    return Candidate(lambda: repeat(times), prepare=lambda: repeat(lead))


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as a baseline: the median over rounds, and the 10th and 90th percentile."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a candidate, round by round."""

    times_ms: tuple[float, ...]
    warm_up: int
    """Runs before the first round."""

    def percentile(self, percent: float) -> float:
        """Interpolated; the 99th of fewer than 100 rounds says little more than the slowest."""
        return float(np.percentile(self.times_ms, percent))

    def shared_by(self, runs: int) -> "Timing":
        """Of one of so many equal runs that one time holds."""
        return Timing(tuple(time_ms / runs for time_ms in self.times_ms), self.warm_up)

    def speed_over(self, baseline: "Timing") -> Ratio:
        """`baseline`'s time over this one's, of the same rounds."""
        ratios = np.array(baseline.times_ms) / np.array(self.times_ms)
        low, median, high = np.percentile(ratios, [10, 50, 90])
        return Ratio(float(median), float(low), float(high))


def measure(
    candidates: Mapping[str, Candidate], device: torch.device, effort: Effort, settle_s: float = SETTLE_S
) -> dict[str, Timing]:
    """Time all candidates in turns.

    settle_s: pause before each turn, in seconds.
    """
    warm_up = {name: _warm_up(candidate, device, effort.warm_up) for name, candidate in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    order = list(candidates)
    shuffle = random.Random(0).shuffle
    start = time.perf_counter()
    for turn in range(effort.most):
        if turn >= effort.least and time.perf_counter() - start > effort.seconds:
            break
        shuffle(order)
        for name in order:
            times[name].append(_milliseconds(candidates[name], device, settle_s))
    return {name: Timing(tuple(times[name]), warm_up[name]) for name in candidates}


def _warm_up(candidate: Candidate, device: torch.device, at_most: int) -> int:
    times: list[float] = []
    while len(times) < at_most:
        times.append(_milliseconds(candidate, device, 0.0))
        latest = times[-3:]
        if len(times) > 3 and max(latest) <= (1.0 + STABLE) * min(latest):
            break
    return len(times)


def _milliseconds(candidate: Candidate, device: torch.device, settle_s: float) -> float:
    """One run: by CUDA events on a GPU, which no host clock can see, by the wall clock on a CPU."""
    time.sleep(settle_s)
    if candidate.prepare is not None:
        candidate.prepare()
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)
        begin.record()
        candidate.run()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end))
    start = time.perf_counter()
    candidate.run()
    return 1000.0 * (time.perf_counter() - start)


def fix_threads(threads: int) -> int:
    """Give torch `threads` threads (0: one a core), and this process as many cores where the system lets it choose.

    Returns the number of threads.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    threads = min(threads or len(cores), len(cores))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores[:threads])
    torch.set_num_threads(threads)
    return threads


class Memory:
    """What `peak_memory` found."""

    peak_mib: float | None = None


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Memory]:
    """How far memory grows within the block over what was in use before it, in MiB.

    On a GPU torch's own allocations; on Linux the process's resident memory; elsewhere None, since no other system lets
    a process forget its earlier peak.
    """
    memory = Memory()
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield memory
        memory.peak_mib = (torch.cuda.max_memory_allocated(device) - before) / MIB
    elif reset.exists() and os.access(reset, os.W_OK):
        reset.write_text("5", encoding="ascii")  # forgets the peak: proc(5)
        resident = _status_mib(status, "VmRSS")
        yield memory
        memory.peak_mib = _status_mib(status, "VmHWM") - resident
    else:
        yield memory


def _status_mib(status: Path, field: str) -> float:
    lines: Sequence[str] = status.read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024.0
