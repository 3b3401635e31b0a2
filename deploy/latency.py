"""How long an engine and its bundle take, in turns, so that the machine's moods hit both alike."""

import statistics
import time

from limner.deploy.engine import Engine
from limner.deploy.inputs import Inputs, as_taken
from limner.deploy.manifest import Latency

WARM_UP = 3
MIN_ROUNDS, MAX_ROUNDS = 10, 50
MAX_SECONDS = 15.0
SETTLE_S = 0.06
"""Pause before each run, in which the other's thread pool stops spinning: ONNX Runtime's burns some 50 ms of a core,
torch's under 10, OpenVINO's none."""


def measure_latency(engine: Engine, eager: Engine, inputs: Inputs) -> Latency:
    """Median time of one batch through each, host memory to host memory; `inputs` in the bundle's format.

    At least 10 rounds and at most 50, or as many as fit into 15 seconds, after 3 that do not count. Each timed run
    comes right after an untimed one of its own, as queries that follow each other do.
    """
    times: dict[str, list[float]] = {"engine": [], "eager": []}
    runs = {"engine": (engine, as_taken(engine.signature, inputs)), "eager": (eager, inputs)}
    start = time.perf_counter()
    for turn in range(WARM_UP + MAX_ROUNDS):
        if turn >= WARM_UP + MIN_ROUNDS and time.perf_counter() - start > MAX_SECONDS:
            break
        for name, (runner, given) in runs.items():
            time.sleep(SETTLE_S)
            runner.infer(*given.values())
            before = time.perf_counter()
            runner.infer(*given.values())
            times[name].append(1e3 * (time.perf_counter() - before))
    medians = {name: round(statistics.median(values[WARM_UP:]), 3) for name, values in times.items()}
    return Latency(
        batch=len(next(iter(inputs.values()))),
        rounds=len(times["engine"]) - WARM_UP,
        engine_ms=medians["engine"],
        eager_fp32_ms=medians["eager"],
    )
