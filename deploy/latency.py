"""The latency of an engine and of its bundle, interleaved, so that other load on the machine affects both alike."""

from limner.core.util.timing import SETTLE_S, Candidate, TimingBudget, time_interleaved
from limner.deploy.engine import Engine
from limner.deploy.inputs import Inputs, to_engine_inputs
from limner.deploy.manifest import Latency

BUDGET = TimingBudget(min_repeats=10, max_repeats=50, seconds=15.0, warm_up=3)


def measure_latency(engine: Engine, eager: Engine, inputs: Inputs) -> Latency:
    """Measure the median time of one batch through each, host memory to host memory.

    Each timed run follows an untimed one of the same candidate, as consecutive queries do.
    inputs: one batch in the bundle's format.
    """
    converted = to_engine_inputs(engine.signature, inputs)
    runs = {
        "engine": lambda: engine.infer(*converted.values()),
        "eager": lambda: eager.infer(*inputs.values()),
    }
    candidates = {name: Candidate(run, prepare=run) for name, run in runs.items()}
    timings = time_interleaved(candidates, BUDGET, settle_s=SETTLE_S)
    return Latency(
        batch=len(next(iter(inputs.values()))),
        rounds=len(timings["engine"].times_ms),
        engine_ms=round(timings["engine"].percentile(50), 3),
        eager_fp32_ms=round(timings["eager"].percentile(50), 3),
    )
