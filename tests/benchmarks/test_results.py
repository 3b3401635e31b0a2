import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from limner.benchmarks.environment import command, describe, hardware
from limner.benchmarks.harness import Timing
from limner.benchmarks.results import Options, Row, compare, load, save, table
from limner.core.util.errors import UserError

CPU = torch.device("cpu")


def make_row(times_ms: Sequence[float] = (9.0, 10.0, 11.0), backend: str = "torch") -> Row:
    environment = describe(CPU, 1) | {"limits": {"matrix_gflops": {"fp32": 50.0}, "copy_gbytes": 10.0}}
    row = Row("infer", "model", backend, "fp32", 2, "single-stream", environment)
    timing = Timing(tuple(times_ms), 1)
    return row.timed(timing, 2, timing.speed_over(timing), details={"flop_per_byte": 3.0, "gflop_per_s": 7.0})


def test_rows_survive_the_way_to_a_file_and_back(tmp_path: Path) -> None:
    rows = [make_row(), replace(make_row(backend="missing"), p50_ms=None, images_per_s=None, note="why")]
    path = save(rows, Options(out=tmp_path), scale="batch")
    assert load(path) == rows
    assert path.name.endswith(f"_infer_{hardware(CPU)}.jsonl")
    assert {file.suffix for file in tmp_path.iterdir()} == {".jsonl", ".md", ".png"}
    assert all(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert command() in text
    assert "| torch | fp32 | 2 | single-stream | 10.0 |" in text
    assert "| why |" in table(rows)


def test_what_was_measured_before_an_interruption_is_kept(tmp_path: Path) -> None:
    row = make_row()

    def measured() -> Iterator[Row]:
        yield row
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(measured(), Options(out=tmp_path), scale="batch")
    assert load(next(tmp_path.glob("*.jsonl"))) == [row]


def test_nothing_is_measured_where_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    measured = (pytest.fail("measured") for _ in range(1))
    with pytest.raises(UserError, match="cannot be read"):
        save(measured, Options(out=tmp_path, compare=tmp_path / "none.jsonl"), scale="batch")


def test_no_result_is_overwritten(tmp_path: Path) -> None:
    paths = [save([make_row()], Options(out=tmp_path), scale="batch") for _ in range(3)]
    assert len(set(paths)) == 3
    assert [path.stem[-2:] for path in paths[1:]] == ["-2", "-3"]


def test_a_comparison_flags_what_is_outside_the_spread_only() -> None:
    old = [make_row(backend="same"), make_row(backend="slower"), make_row(backend="faster"), make_row(backend="gone")]
    new = [
        make_row((9.5, 10.5, 11.5), "same"),
        make_row((19.0, 20.0, 21.0), "slower"),
        make_row((4.9, 5.0, 5.1), "faster"),
        make_row(backend="new"),
    ]
    verdicts = {line.split()[3]: line.split("|")[-2].strip() for line in compare(old, new).splitlines()[2:]}
    assert verdicts == {"same": "", "slower": "SLOWER", "faster": "faster"}
    assert "2.00 | ±" in compare(old, new)
    assert compare(old[:1], new[1:]) == "nothing to compare: the two runs share no measurement"


def test_only_the_same_subject_compares_and_no_spread_is_made_of_two_rounds() -> None:
    row = make_row()
    assert "share no measurement" in compare([row], [replace(row, subject="another model")])
    assert "| too few rounds |" in compare([make_row((1.0, 1.0))], [make_row((9.0, 9.0))])


def test_no_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to measure: every case is left out"):
        save([], Options(out=tmp_path), scale="batch")


def test_rows_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl: cannot be read .*: name a \.jsonl of an earlier run"):
        load(tmp_path / "none.jsonl")
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(UserError, match="holds no benchmark rows"):
        load(foreign)
