from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.benchmarks.data import Command, main, make_stream, torch_loader
from limner.core.util.errors import UserError
from limner.data_pipeline.loading import open_loader


def test_loaders_are_compared(run_benchmark: Callable[..., Any], check_schema: Callable[[Any], None]) -> None:
    rows = run_benchmark(main, "--batch", "4", "--formats", "jpeg", "png")
    check_schema(rows)
    assert [row["scenario"] for row in rows] == ["jpeg"] * 3 + ["png"] * 3
    assert [row["backend"] for row in rows[:3]] == ["dataloader-0", "reference", "dali-cpu"]
    assert all(row["precision"] is None for row in rows)
    assert all(row["details"]["pairs_per_s_per_core"] > 0.0 for row in rows if row["note"] is None)


def test_the_dataloader_does_the_same_work(tiny_data: Path) -> None:
    """The baseline's images are the reference loader's."""
    stream = make_stream(Command(image_size=64, load_size=72), tiny_data, 2, torch.device("cpu"), 1)
    stream = replace(stream, augment=replace(stream.augment, colour=0.2, rotate_degrees=5.0))
    theirs, ours = iter(torch_loader(stream, 0)), open_loader("reference", stream)
    for _ in range(3):
        batch = next(ours)
        photo, sketch = next(theirs)
        torch.testing.assert_close(photo, batch.photo, rtol=0.0, atol=0.0)
        torch.testing.assert_close(sketch, batch.sketch, rtol=0.0, atol=0.0)


def test_the_baseline_cannot_be_left_out(run_benchmark: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="workers 1 2: 0 must be among them"):
        run_benchmark(main, "--workers", "1", "2")
