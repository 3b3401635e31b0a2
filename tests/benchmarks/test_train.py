from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.benchmarks.plain import PlainStep
from limner.benchmarks.train import Command, configure, main, make_step, random_batch
from limner.core.tasks import TASKS
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.data_pipeline.index import load_dataset
from limner.distributed.context import WorkerContext
from limner.distributed.worker import build_model, build_state, resolve

CPU = torch.device("cpu")


def test_every_step_is_set_beside_a_plain_one(
    run_benchmark: Callable[..., Any], check_schema: Callable[[Any], None]
) -> None:
    rows = run_benchmark(main, "--batch", "1", "--precisions", "fp32", "bf16", "fp16", "--loaders", "reference")
    check_schema(rows)
    plain, *others = rows
    assert (plain["backend"], plain["vs_baseline"]) == ("plain", 1.0)
    assert [row["precision"] for row in others[:3]] == ["fp32", "bf16", "fp16"]
    assert others[2]["note"] == "fp16 trains on a GPU only"
    assert others[-1]["scenario"] == "fed by reference"
    assert {"loader_cost", "loader_cost_low", "loader_cost_high"} <= set(others[-1]["details"])


def test_the_plain_step_learns_what_ours_learns(tiny_config: Pix2PixConfig, tiny_data: Path) -> None:
    """Two implementations of one objective: the same weights after two steps."""
    config = configure(Command(width=4, image_size=64), 2, "fp32")
    plain = PlainStep(config, CPU)
    context = WorkerContext(0, 1, CPU, 1, None, lambda progress: None)  # type: ignore[arg-type]
    task = TASKS["pix2pix"]
    resolved, dataset = resolve(task, config, load_dataset(tiny_data))
    state = build_state(resolved, build_model(task, resolved, dataset, CPU), context)
    batch = random_batch(config, 2, CPU)
    for _ in range(2):
        plain(batch)
        state.step([batch], 2, 2, config.optimizer.lr)
    for ours, theirs in (
        (state.step.networks["generator"].network, plain.generator),
        (state.step.networks["discriminator"].network, plain.discriminator),
    ):
        for name, weight in ours.state_dict().items():
            torch.testing.assert_close(weight, theirs.state_dict()[name], rtol=0.0, atol=2e-5, msg=name)


def test_a_step_is_the_workers_own(tiny_data: Path) -> None:
    config = configure(Command(width=4, image_size=64), 1, "fp32")
    stats = make_step(config, load_dataset(tiny_data), CPU, 1)(random_batch(config, 1, CPU))
    assert isinstance(stats, dict)
    assert float(stats["loss/l1"]) == pytest.approx(0.5, abs=0.3)
