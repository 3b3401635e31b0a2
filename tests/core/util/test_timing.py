import random
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from limner.core.util.timing import Candidate, Timing, TimingBudget, describe_speed, time_interleaved, wall_clock_ms

BUDGET = TimingBudget(min_repeats=15, max_repeats=15, seconds=0.0, warm_up=3)


def multiply(times: int = 1) -> Callable[[], Any]:
    a = torch.ones(128, 128)
    return lambda: [a @ a for _ in range(times)]


def test_a_candidate_against_itself_is_1_within_its_stated_spread() -> None:
    run = multiply(20)
    timings = time_interleaved({"one": Candidate(run), "other": Candidate(run)}, BUDGET, settle_s=0.0)
    speedup = timings["one"].speedup_over(timings["other"])
    assert speedup.low <= 1.0 <= speedup.high
    assert speedup.low <= speedup.median <= speedup.high


def test_timings_grow_with_injected_sleep() -> None:
    candidates = {ms: Candidate(lambda ms=ms: time.sleep(ms / 1000.0)) for ms in (1, 5, 20)}  # type: ignore[misc]
    timings = time_interleaved(candidates, BUDGET, settle_s=0.0)
    medians = [timings[ms].percentile(50) for ms in candidates]
    assert medians == sorted(medians)
    for ms, median in zip(candidates, medians, strict=True):
        assert median >= ms
    assert timings[1].speedup_over(timings[20]).low > 1.0


def test_candidates_are_interleaved_and_what_prepares_them_is_not_timed() -> None:
    calls: list[str] = []

    def prepare() -> None:
        calls.append("before")
        time.sleep(0.02)

    candidates = {
        "a": Candidate(lambda: calls.append("a"), prepare),
        "b": Candidate(lambda: calls.append("b")),
    }
    budget = TimingBudget(min_repeats=6, max_repeats=6, seconds=0.0, warm_up=1)
    timings = time_interleaved(candidates, budget, settle_s=0.0)
    assert timings["a"].percentile(50) < 20.0
    repeats = [name for name in calls[3:] if name != "before"]
    assert [sorted(repeats[i : i + 2]) for i in range(0, 12, 2)] == [["a", "b"]] * 6
    assert calls.count("before") == 7
    assert len({tuple(repeats[i : i + 2]) for i in range(0, 12, 2)}) == 2, "always in the same order"


@pytest.mark.parametrize(("seconds", "repeats"), [(0.0, 4), (60.0, 9)])
def test_repeats_end_with_the_time_but_not_before_the_minimum(seconds: float, repeats: int) -> None:
    budget = TimingBudget(min_repeats=4, max_repeats=9, seconds=seconds, warm_up=1)
    timings = time_interleaved({"": Candidate(lambda: None)}, budget, settle_s=0.0)
    assert len(timings[""].times_ms) == repeats


@pytest.mark.parametrize(
    ("times_ms", "warm_up"),
    [([9.0, 5.0, 5.0, 5.0, 5.0, 5.0], 4), ([9.0, 5.0, 9.0, 5.0, 9.0, 5.0], 6)],
)
def test_warm_up_ends_when_times_are_stable_or_the_budget_is_spent(times_ms: list[float], warm_up: int) -> None:
    """By a stopwatch that shows the given times, whose readings after the warm-up are those that are kept."""
    shown = iter([*times_ms[:warm_up], 7.0])
    budget = TimingBudget(min_repeats=1, max_repeats=1, seconds=0.0, warm_up=len(times_ms))
    timings = time_interleaved({0: Candidate(lambda: None)}, budget, settle_s=0.0, stopwatch=lambda run: next(shown))
    assert timings == {0: Timing((7.0,), warm_up)}


def test_each_timed_run_comes_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("limner.core.util.timing.time.sleep", pauses.append)
    time_interleaved({0: Candidate(lambda: None), 1: Candidate(lambda: None)}, BUDGET, settle_s=0.5)
    assert pauses == [0.5] * 30


def test_speedups_are_taken_repeat_by_repeat() -> None:
    """A machine that slows down half way affects both alike, and the ratio does not see it."""
    slowdown = np.repeat([1.0, 10.0], 8)
    sample = random.Random(0)
    noise = np.array([sample.uniform(0.99, 1.01) for _ in slowdown])
    speedup = Timing(tuple(2.0 * slowdown * noise), 0).speedup_over(Timing(tuple(6.0 * slowdown), 0))
    assert 0.99 * 3.0 < speedup.low <= speedup.high < 1.02 * 3.0


def test_a_run_is_a_part_of_its_timed_region() -> None:
    assert Timing((8.0, 4.0), 2).per_run(4) == Timing((2.0, 1.0), 2)


def test_the_host_clock_counts_in_milliseconds() -> None:
    assert 10.0 <= wall_clock_ms(lambda: time.sleep(0.01)) < 1000.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_cuda_events_wait_for_what_was_launched() -> None:
    from limner.core.util.timing import cuda_events_ms

    a = torch.ones(4096, 4096, device="cuda")
    one, ten = (min(cuda_events_ms(lambda n=n: [a @ a for _ in range(n)]) for _ in range(5)) for n in (1, 10))  # type: ignore[misc]
    assert ten > 5.0 * one > 0.0


@pytest.mark.parametrize(
    ("speedup", "text", "against_torch"),
    [
        (3.1, "3.10x faster", "3.10x faster than torch"),
        (1 / 1.2, "1.20x slower", "1.20x slower than torch"),
        (0.999, "as fast", "as fast as torch"),
    ],
)
def test_speed_is_said_in_one_way(speedup: float, text: str, against_torch: str) -> None:
    assert describe_speed(speedup) == text
    assert describe_speed(speedup, "torch") == against_torch


def test_timing_imports_no_torch() -> None:
    """Runtimes that open without torch import it too."""
    code = "import sys, limner.core.util.timing; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
