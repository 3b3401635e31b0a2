"""Interleaved timing: the one loop behind benchmarks, the latency in an engine's manifest, and trials during a build.

Each repeat times every candidate once, in a new order, so that whatever else the machine does affects all alike.
Speedups are taken repeat by repeat, and their spread is that of single repeats.
"""

import random
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

SETTLE_S = 0.06
"""Pause before each timed run, in which other candidates' thread pools stop spinning: ONNX Runtime's spins for some
50 ms, torch's for under 10, OpenVINO's not at all."""
STABLE = 0.1
"""A candidate is warm once its last three runs lie within this fraction of the fastest of them."""

Key = TypeVar("Key", bound=Hashable)
Run = Callable[[], object]
Stopwatch = Callable[[Run], float]
"""Runs what it is given and returns the milliseconds that took."""


@dataclass(frozen=True)
class TimingBudget:
    """How long to measure: until `seconds` have passed, but at least `min_repeats` and at most `max_repeats`."""

    min_repeats: int
    max_repeats: int
    seconds: float
    warm_up: int
    """Untimed runs of each candidate before the first repeat, at most; fewer if its time is stable earlier."""


@dataclass(frozen=True)
class Candidate:
    """A function to time, and what runs untimed right before each timed run."""

    run: Run
    prepare: Run | None = None


@dataclass(frozen=True)
class Speedup:
    """How many times as fast as a baseline: median, 10th and 90th percentile over repeats."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one candidate, repeat by repeat."""

    times_ms: tuple[float, ...]
    warm_up: int
    """Runs before the first repeat."""

    def percentile(self, percent: float) -> float:
        """Return the interpolated percentile in ms; the 99th of under 100 repeats is little more than the slowest."""
        return float(np.percentile(self.times_ms, percent))

    def per_run(self, runs: int) -> "Timing":
        """Return the timing of a single run if each timed region holds `runs` equal ones."""
        return Timing(tuple(time_ms / runs for time_ms in self.times_ms), self.warm_up)

    def speedup_over(self, baseline: "Timing") -> Speedup:
        """Compare with a baseline of the same repeats: its time over this one's."""
        ratios = np.array(baseline.times_ms) / np.array(self.times_ms)
        low, median, high = np.percentile(ratios, [10, 50, 90])
        return Speedup(float(median), float(low), float(high))


def wall_clock_ms(run: Run) -> float:
    """Time a run by the host's clock."""
    start = time.perf_counter()
    run()
    return 1000.0 * (time.perf_counter() - start)


def cuda_events_ms(run: Run) -> float:
    """Time a run on the current CUDA stream by events, which see what was launched but not yet finished."""
    import torch  # opening an engine times nothing and needs no torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


def time_interleaved(
    candidates: Mapping[Key, Candidate],
    budget: TimingBudget,
    *,
    settle_s: float = SETTLE_S,
    stopwatch: Stopwatch = wall_clock_ms,
) -> dict[Key, Timing]:
    """Warm each candidate up, then time all of them in each repeat, in shuffled order.

    settle_s: pause before each timed run, in seconds. The budget's seconds start after the warm-up.
    """
    warm_up = {key: _warm_up(candidate, budget.warm_up, stopwatch) for key, candidate in candidates.items()}
    times: dict[Key, list[float]] = {key: [] for key in candidates}
    order = list(candidates)
    shuffle = random.Random(0).shuffle
    start = time.perf_counter()
    for repeat in range(budget.max_repeats):
        if repeat >= budget.min_repeats and time.perf_counter() - start > budget.seconds:
            break
        shuffle(order)
        for key in order:
            time.sleep(settle_s)
            times[key].append(_time_once(candidates[key], stopwatch))
    return {key: Timing(tuple(times[key]), warm_up[key]) for key in candidates}


def _warm_up(candidate: Candidate, max_runs: int, stopwatch: Stopwatch) -> int:
    times: list[float] = []
    while len(times) < max_runs:
        times.append(_time_once(candidate, stopwatch))
        latest = times[-3:]
        if len(times) > 3 and max(latest) <= (1.0 + STABLE) * min(latest):
            break
    return len(times)


def _time_once(candidate: Candidate, stopwatch: Stopwatch) -> float:
    if candidate.prepare is not None:
        candidate.prepare()
    return stopwatch(candidate.run)


def describe_speed(speedup: float, baseline: str = "") -> str:
    """Say a speedup the one way that Limner does: "3.10x faster", "1.20x slower" or "as fast".

    speedup: the baseline's time over the candidate's, over 0. baseline: its name, for "3.10x faster than torch".
    """
    factor = f"{max(speedup, 1.0 / speedup):.2f}"
    if factor == "1.00":
        return f"as fast as {baseline}" if baseline else "as fast"
    relation = f"{factor}x {'faster' if speedup > 1.0 else 'slower'}"
    return f"{relation} than {baseline}" if baseline else relation
