import os

import numpy as np
import pytest
import torch

from limner.benchmarks.harness import fix_threads, loop, peak_memory, stopwatch
from limner.core.util.timing import cuda_events_ms, wall_clock_ms

CPU = torch.device("cpu")


def test_a_loop_is_one_timed_region_after_untimed_steps() -> None:
    steps: list[int] = []
    candidate = loop(lambda: steps.append(0), steps=4, warm_up_steps=3)
    assert candidate.prepare is not None
    candidate.prepare()
    assert len(steps) == 3
    candidate.run()
    assert len(steps) == 7


def test_work_on_a_gpu_is_timed_by_events() -> None:
    assert stopwatch(torch.device("cuda")) is cuda_events_ms
    assert stopwatch(CPU) is wall_clock_ms


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="only Linux resets a peak")  # noqa: PTH110
def test_peak_memory_is_what_the_block_adds() -> None:
    with peak_memory(CPU) as used:
        block = np.ones(64 * 2**20, np.uint8)
    assert used.peak_mib is not None
    assert 60.0 < used.peak_mib < 100.0
    assert len(block) == 64 * 2**20


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
