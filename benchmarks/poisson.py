"""The server scenario of infer.py: the highest rate of Poisson arrivals whose 99th percentile meets a latency limit."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from limner.benchmarks.contenders import BASELINE
from limner.benchmarks.harness import QUICK, stopwatch
from limner.benchmarks.results import Row
from limner.benchmarks.scenarios import WRONG_BATCH, InferenceBench
from limner.core.util.timing import Candidate, Timing, time_interleaved


def server(bench: InferenceBench) -> Iterator[Row]:
    """Measure each contender in turn with queries of one image."""
    baseline: float | None = None
    for contender in bench.contenders:
        row = bench.row(contender, 1, "server")
        with contender.open("latency") as engine:
            if engine.batch.minimum > 1:
                yield replace(row, note=WRONG_BATCH)
                continue
            inputs = bench.inputs_for(engine, 1)
            candidate = Candidate(lambda engine=engine, inputs=inputs: engine.infer(*inputs.values()))  # type: ignore[misc]
            alone = time_interleaved({"": candidate}, QUICK, stopwatch=stopwatch(bench.device))[""]
            found = highest_rate(candidate.run, alone, bench.limit_ms, bench.quick)
        details = row.details | {"limit_ms": bench.limit_ms}
        if found is None:
            yield replace(row, note="no rate meets the limit", details=details)
            continue
        rate, timing = found
        if contender.name == BASELINE:
            baseline = rate
        row = row.with_timing(timing, 1, details=details)
        yield replace(row, images_per_s=rate, vs_baseline=rate / baseline if baseline else None)


def highest_rate(
    query: Callable[[], object], alone: Timing, limit_ms: float, quick: bool
) -> tuple[float, Timing] | None:
    """Bisect between 0 and the rate of queries without pauses; None if no rate that is tried meets the limit.

    alone: of a query by itself. Returns queries per second and their latencies.
    """
    low, high = 0.0, 1000.0 / alone.percentile(50)
    best = None
    for number in range(3 if quick else 6):
        rate = (low + high) / 2.0
        timing = Timing(tuple(poisson_latencies(query, rate, 8 if quick else 150, seed=number)), alone.warm_up)
        if timing.percentile(99) <= limit_ms:
            low, best = rate, (rate, timing)
        else:
            high = rate
    return best


def poisson_latencies(query: Callable[[], object], rate: float, count: int, seed: int) -> list[float]:
    """Run `count` queries that arrive at random, `rate` per second, and queue; returns ms from arrival to result."""
    arrivals = np.random.default_rng(seed).exponential(1.0 / rate, count).cumsum()
    start = time.perf_counter()
    latencies = []
    for arrival in arrivals:
        time.sleep(max(0.0, start + arrival - time.perf_counter()))
        query()
        latencies.append(1000.0 * (time.perf_counter() - start - arrival))
    return latencies
