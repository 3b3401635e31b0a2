from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from limner.core.signature import Port, Signature
from limner.deploy.engine import ANY_BATCH, Engine
from limner.deploy.latency import MIN_ROUNDS, WARM_UP, measure_latency

Array = npt.NDArray[Any]

SIGNATURE = Signature((Port("photo", (3, 8, 8), "float32"),), Port("image", (3, 8, 8), "float32"))


class Worker:
    """Takes as many milliseconds as it is told, by a clock of its own, and writes down that it was called."""

    def __init__(self, name: str, takes_ms: list[float], clock: list[float], calls: list[str]) -> None:
        self.name, self.takes_ms, self.clock, self.calls = name, takes_ms, clock, calls

    def run(self, inputs: Mapping[str, Array]) -> Array:
        self.clock[0] += self.takes_ms[self.calls.count(self.name) % len(self.takes_ms)] / 1e3
        self.calls.append(self.name)
        return inputs["photo"]

    def close(self) -> None:
        pass


def test_medians_of_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], list[str]()
    monkeypatch.setattr("limner.deploy.latency.time.perf_counter", lambda: clock[0])
    slow_start = [5000.0] * 2 * WARM_UP
    engine = Engine("engine", SIGNATURE, ANY_BATCH, Worker("engine", [*slow_start, *[10.0] * 99], clock, calls))
    eager = Engine(
        "eager", SIGNATURE, ANY_BATCH, Worker("eager", [*slow_start, 40.0, 900.0, *[40.0] * 99], clock, calls)
    )
    measured = measure_latency(engine, eager, {"photo": np.zeros((2, 3, 8, 8), np.float32)})
    assert (measured.batch, measured.rounds) == (2, MIN_ROUNDS)  # the warm-up used the time up
    assert measured.engine_ms == pytest.approx(10.0)
    assert measured.eager_fp32_ms == pytest.approx(40.0)
    assert calls == ["engine", "engine", "eager", "eager"] * (WARM_UP + MIN_ROUNDS)
