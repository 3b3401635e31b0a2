from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from limner.core.signature import Port, Signature
from limner.deploy.engine import ANY_BATCH, Engine
from limner.deploy.latency import BUDGET, measure_latency

Array = npt.NDArray[Any]

SIGNATURE = Signature((Port("photo", (3, 8, 8), "float32"),), Port("image", (3, 8, 8), "float32"))


class ScriptedRuntime:
    """Takes the given times, in ms by a fake clock, and logs its calls."""

    def __init__(self, name: str, times_ms: list[float], clock: list[float], calls: list[str]) -> None:
        self.name, self.times_ms, self.clock, self.calls = name, times_ms, clock, calls

    def run(self, inputs: Mapping[str, Array]) -> Array:
        self.clock[0] += self.times_ms[self.calls.count(self.name) % len(self.times_ms)] / 1e3
        self.calls.append(self.name)
        return inputs["photo"]

    def close(self) -> None:
        pass


def test_medians_of_interleaved_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warm-up runs, the untimed run before each timed one, and a single outlier leave no trace in the medians."""
    clock, calls = [0.0], list[str]()
    monkeypatch.setattr("limner.core.util.timing.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("limner.deploy.latency.SETTLE_S", 0.0)
    slow_start = [5000.0] * 2 * BUDGET.warm_up
    times_ms = {"engine": [*slow_start, *[600.0, 10.0] * 99], "eager": [*slow_start, 600.0, 900.0, *[600.0, 40.0] * 99]}
    engine, eager = (
        Engine(name, SIGNATURE, ANY_BATCH, ScriptedRuntime(name, times, clock, calls))
        for name, times in times_ms.items()
    )
    measured = measure_latency(engine, eager, {"photo": np.zeros((2, 3, 8, 8), np.float32)})
    assert measured.batch == 2
    assert BUDGET.min_repeats < measured.rounds < BUDGET.max_repeats  # until 15 s had passed
    assert measured.engine_ms == pytest.approx(10.0)
    assert measured.eager_fp32_ms == pytest.approx(40.0)
    assert calls[::2] == calls[1::2], "each timed run follows an untimed one of the same candidate"
    repeats = calls[4 * BUDGET.warm_up :: 2]
    assert all(
        {first, second} == {"engine", "eager"} for first, second in zip(repeats[::2], repeats[1::2], strict=True)
    )
