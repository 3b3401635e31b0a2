import os
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from limner.benchmarks.harness import Candidate, Effort, Timing, fix_threads, measure, peak_memory

CPU = torch.device("cpu")
ROUNDS = Effort(least=15, most=15, seconds=0.0, warm_up=3)


def multiply(times: int = 1) -> Callable[[], Any]:
    a = torch.ones(128, 128)
    return lambda: [a @ a for _ in range(times)]


def test_a_candidate_against_itself_is_1_within_its_stated_spread() -> None:
    run = multiply(20)
    timings = measure({"one": Candidate(run), "other": Candidate(run)}, CPU, ROUNDS, settle_s=0.0)
    ratio = timings["one"].speed_over(timings["other"])
    assert ratio.low <= 1.0 <= ratio.high
    assert ratio.low <= ratio.median <= ratio.high


def test_timings_grow_with_injected_sleep() -> None:
    candidates = {str(ms): Candidate(lambda ms=ms: time.sleep(ms / 1000.0)) for ms in (1, 5, 20)}  # type: ignore[misc]
    timings = measure(candidates, CPU, ROUNDS, settle_s=0.0)
    medians = [timings[name].percentile(50) for name in candidates]
    assert medians == sorted(medians)
    for name, median in zip(candidates, medians, strict=True):
        assert median >= float(name)
    assert timings["1"].speed_over(timings["20"]).low > 1.0


def test_candidates_take_turns_and_what_prepares_them_is_not_timed() -> None:
    calls: list[str] = []

    def prepare() -> None:
        calls.append("before")
        time.sleep(0.02)

    candidates = {
        "a": Candidate(lambda: calls.append("a"), prepare),
        "b": Candidate(lambda: calls.append("b")),
    }
    timings = measure(candidates, CPU, Effort(least=6, most=6, seconds=0.0, warm_up=1), settle_s=0.0)
    assert timings["a"].percentile(50) < 20.0
    rounds = [name for name in calls[3:] if name != "before"]
    assert [sorted(rounds[i : i + 2]) for i in range(0, 12, 2)] == [["a", "b"]] * 6
    assert calls.count("before") == 7
    assert len({tuple(rounds[i : i + 2]) for i in range(0, 12, 2)}) == 2, "always in the same order"


def test_rounds_end_with_the_time_but_not_before_the_least() -> None:
    timings = measure({"": Candidate(lambda: None)}, CPU, Effort(least=4, most=9, seconds=0.0, warm_up=1), 0.0)
    assert len(timings[""].times_ms) == 4
    timings = measure({"": Candidate(lambda: None)}, CPU, Effort(least=4, most=9, seconds=60.0, warm_up=1), 0.0)
    assert len(timings[""].times_ms) == 9


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that slows down half way hurts both alike, and the ratio does not see it."""
    mood = np.repeat([1.0, 10.0], 8)
    draw = random.Random(0)
    noise = np.array([draw.uniform(0.99, 1.01) for _ in mood])
    ratio = Timing(tuple(2.0 * mood * noise), 0).speed_over(Timing(tuple(6.0 * mood), 0))
    assert 0.99 * 3.0 < ratio.low <= ratio.high < 1.02 * 3.0


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="only Linux forgets an earlier peak")  # noqa: PTH110
def test_peak_memory_is_what_the_block_adds() -> None:
    with peak_memory(CPU) as used:
        del_me = np.ones(64 * 2**20, np.uint8)
    assert used.peak_mib is not None
    assert 60.0 < used.peak_mib < 100.0
    assert len(del_me) == 64 * 2**20


def test_threads_are_fixed() -> None:
    before = torch.get_num_threads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    try:
        assert fix_threads(1) == 1
        assert torch.get_num_threads() == 1
        if cores is not None:
            assert len(os.sched_getaffinity(0)) == 1
    finally:
        torch.set_num_threads(before)
        if cores is not None:
            os.sched_setaffinity(0, cores)
