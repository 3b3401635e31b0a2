import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limner.benchmarks.ring import efficiency_table, ring_step_s
from limner.benchmarks.scaling import main
from limner.benchmarks.training_process import ancestors, read_reports, time_run
from limner.core.util.errors import LimnerError, UserError


def test_a_run_is_timed_from_outside(run_benchmark: Callable[..., Any], check_schema: Callable[[Any], None]) -> None:
    arguments = ("--launchers", "local", "--workers", "1", "--parts", "weak", "checkpoint", "--batch", "1")
    rows = run_benchmark(main, *arguments)
    check_schema(rows)
    run, checkpoint = rows
    assert run["scenario"] == "weak, 1 worker"
    assert run["details"]["startup_s"] > 0.0
    assert checkpoint["details"]["checkpoint_mib"] > 0.1


def test_two_workers_of_torchrun_share_one_batch(
    run_benchmark: Callable[..., Any], check_schema: Callable[[Any], None]
) -> None:
    arguments = ("--launchers", "torchrun", "--workers", "2", "--parts", "strong", "--batch", "2")
    rows = run_benchmark(main, *arguments)
    check_schema(rows)
    (row,) = rows
    assert (row["backend"], row["scenario"], row["batch"]) == ("torchrun", "strong, 2 workers", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reports", "2"), "reports 2: must be over 2"),
        (("--parts", "strong", "--workers", "2", "--batch", "1"), "nothing to measure"),
    ],
)
def test_what_measures_nothing_is_refused(
    run_benchmark: Callable[..., Any], arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run_benchmark(main, *arguments)


def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such data')"]
    with pytest.raises(LimnerError, match="a training run failed: no such data"):
        time_run(command, tmp_path)


def test_half_a_line_is_not_a_report_yet(tmp_path: Path) -> None:
    assert read_reports(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_text('{"seen_images": 4}\n{"seen_ima', encoding="utf-8")
    assert read_reports(tmp_path) == [{"seen_images": 4}]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_ancestors_reach_the_first_process() -> None:
    found = ancestors(os.getpid())
    assert found[0] == os.getppid()
    assert found[-1] <= 1


def test_the_model_of_scaling_has_its_limits() -> None:
    """One worker exchanges nothing; many exchange nearly twice the gradients; what is hidden costs nothing."""
    assert ring_step_s(0.1, 1e9, 1, 1e9, overlap=0.0) == pytest.approx(0.1)
    assert ring_step_s(0.1, 1e9, 10**6, 1e9, overlap=0.0) == pytest.approx(2.1)
    assert ring_step_s(0.1, 1e6, 8, 1e9, overlap=0.5) == pytest.approx(0.1)
    slow, *_, fast = efficiency_table(step_s=1.0, gradient_mb=125.0).splitlines()[3:]
    assert slow.startswith("| 1 Gbit/s | 67% |")  # the exchange takes 1 s, half of it hidden
    assert set(fast.split("|")[2:-1]) == {" 100% "}
