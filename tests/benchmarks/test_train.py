from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.benchmarks.baseline_step import BaselineStep
from limner.benchmarks.train import main, make_step
from limner.benchmarks.training import build_worker_state, pix2pix_config, random_batch
from limner.data_pipeline.index import load_dataset

CPU = torch.device("cpu")


def test_every_step_is_compared_with_the_baseline(
    run_benchmark: Callable[..., Any], check_schema: Callable[[Any], None]
) -> None:
    rows = run_benchmark(main, "--batch", "1", "--precisions", "fp32", "bf16", "fp16", "--loaders", "reference")
    check_schema(rows)
    baseline, *others = rows
    assert (baseline["backend"], baseline["vs_baseline"]) == ("baseline", 1.0)
    assert [row["precision"] for row in others[:3]] == ["fp32", "bf16", "fp16"]
    assert others[2]["note"] == "fp16 trains on a GPU only"
    assert others[-1]["scenario"] == "fed by reference"
    assert {"loader_cost", "loader_cost_low", "loader_cost_high"} <= set(others[-1]["details"])


def test_the_baseline_step_learns_what_ours_learns(tiny_data: Path) -> None:
    """Two implementations of one objective: the same weights after two steps."""
    config = pix2pix_config(width=4, image_size=64, batch=2)
    baseline = BaselineStep(config, CPU)
    state = build_worker_state(config, load_dataset(tiny_data), CPU, threads=1)
    batch = random_batch(config, 2, CPU)
    for _ in range(2):
        baseline(batch)
        state.step([batch], 2, 2, config.optimizer.lr)
    for ours, theirs in (
        (state.step.networks["generator"].network, baseline.generator),
        (state.step.networks["discriminator"].network, baseline.discriminator),
    ):
        for name, weight in ours.state_dict().items():
            torch.testing.assert_close(weight, theirs.state_dict()[name], rtol=0.0, atol=2e-5, msg=name)


def test_a_step_is_the_workers_own(tiny_data: Path) -> None:
    config = pix2pix_config(width=4, image_size=64)
    stats = make_step(config, load_dataset(tiny_data), CPU, 1)(random_batch(config, 1, CPU))
    assert isinstance(stats, dict)
    assert float(stats["loss/l1"]) == pytest.approx(0.5, abs=0.3)
