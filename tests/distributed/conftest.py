"""Running one worker in this process, and comparing what runs leave behind."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.core.config import flatten
from limner.core.spec import RunSpec, prepare_run_dir
from limner.core.training.checkpoint import load_newest
from limner.core.training.loop import Progress
from limner.distributed.context import WorkerContext
from limner.distributed.worker import run_worker

MEASURED = ("images_per_s", "data_wait_fraction")


@pytest.fixture
def train() -> Callable[..., bool]:
    """Run `spec` as the only worker; with `stop_at`, ask it to stop once it has reported so many images."""

    def run(spec: RunSpec, stop_at: int | None = None) -> bool:
        prepare_run_dir(spec)
        stop = threading.Event()

        def post(progress: Progress) -> None:
            if stop_at is not None and progress.seen_images >= stop_at:
                stop.set()

        return run_worker(spec, WorkerContext(0, 1, torch.device("cpu"), 1, stop, post))

    return run


@pytest.fixture
def remains() -> Callable[[Path], dict[str, Any]]:
    """What must be equal of two equal runs: the whole last checkpoint, the bundle's bytes, all metrics not of time."""

    def collect(run: Path) -> dict[str, Any]:
        state, notes = load_newest(run / "checkpoints")
        assert state is not None
        assert notes == []
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        metrics = {line["seen_images"]: {k: v for k, v in line.items() if k not in MEASURED} for line in lines}
        assert len(metrics) == len(lines), "a point is logged twice"
        bundle = {path.name: path.read_bytes() for path in (run / "model").iterdir()}
        return {"state": _plain(state), "metrics": metrics, "bundle": bundle}

    return collect


@pytest.fixture
def first_gradients() -> Callable[[RunSpec, int], dict[str, torch.Tensor]]:
    """The gradients of a run's first step, from Adam's first moment after it: (1 - beta1) * gradient."""

    def read(spec: RunSpec, seen: int) -> dict[str, torch.Tensor]:
        state = torch.load(spec.run / "checkpoints" / f"{seen:010d}" / "state.pt", weights_only=True)
        return {
            f"{network} {index}": values["exp_avg"] / (1 - spec.config.optimizer.beta1)
            for network, optimizer in state["optimizers"].items()
            for index, values in optimizer["state"].items()
        }

    return read


def _plain(value: Any) -> Any:
    """Nested state with tensors as bytes, which compare as a whole."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.dtype, value.numpy().tobytes()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return flatten({str(name): _plain(item) for name, item in value.items()})
    return value
