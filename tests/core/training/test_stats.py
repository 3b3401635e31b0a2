import json
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from limner.core.training.stats import Accumulator, RunWriter


def test_accumulator_gives_means_since_the_last_report() -> None:
    stats = Accumulator()
    for value in (1.0, 2.0, 6.0):
        stats.add({"b": torch.tensor(value), "a": torch.tensor(-value)})
    names, means = stats.pop_means()
    assert (names, means.tolist()) == (["a", "b"], [-3.0, 3.0])
    stats.add({"a": torch.tensor(5.0)})
    assert stats.pop_means()[1].tolist() == [5.0]


def points(run: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["seen_images"], line["x"]) for line in lines]


def test_after_a_rollback_no_point_stands_twice(tmp_path: Path) -> None:
    first = RunWriter(tmp_path, 0)
    for seen in (10, 20, 30):
        first.log_scalars({"x": float(seen)}, seen)
    first.close()
    second = RunWriter(tmp_path, 10)
    for seen in (20, 40):
        second.log_scalars({"x": -float(seen)}, seen)
    second.close()
    expected = [(10, 10.0), (20, -20.0), (40, -40.0)]
    assert points(tmp_path) == expected
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("x")] == expected


def test_a_line_that_a_crash_cut_short_is_dropped(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, 0)
    writer.log_scalars({"x": 1.0}, 1)
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"seen_images": 2, "x')
    RunWriter(tmp_path, 5).close()
    assert points(tmp_path) == [(1, 1.0)]


def test_what_is_not_finite_is_null_in_the_line(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, 0)
    writer.log_scalars({"x": float("inf"), "y": float("nan"), "z": 1.0}, 1)
    writer.close()
    text = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(text, parse_constant=lambda name: name) == {"seen_images": 1, "x": None, "y": None, "z": 1.0}
