import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from limner.benchmarks.environment import command_line, describe, hardware
from limner.benchmarks.results import (
    SUPERSEDED,
    BenchOptions,
    Row,
    compare,
    document,
    load,
    newest,
    save,
    table,
)
from limner.core.util.errors import UserError
from limner.core.util.timing import Timing

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
COMMITTED = sorted((ROOT / "benchmarks" / "results").glob("*.jsonl"))


def make_row(times_ms: Sequence[float] = (9.0, 10.0, 11.0), backend: str = "torch") -> Row:
    command = command_line("infer", ["--quick"])
    environment = describe(CPU, 1, command) | {"limits": {"matrix_gflops": {"fp32": 50.0}, "copy_gbytes": 10.0}}
    row = Row("infer", "model", backend, "fp32", 2, "single-stream", environment)
    timing = Timing(tuple(times_ms), 1)
    return row.with_timing(timing, 2, timing.speedup_over(timing), details={"flop_per_byte": 3.0, "gflop_per_s": 7.0})


def test_rows_survive_being_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)  # else it is part of the command line
    rows = [make_row(), replace(make_row(backend="missing"), p50_ms=None, images_per_s=None, note="why")]
    path = save(rows, BenchOptions(out=tmp_path), scale="batch")
    assert load(path) == rows
    assert path.name == f"infer_{hardware(CPU)}.jsonl"
    assert {file.suffix for file in tmp_path.iterdir()} == {".jsonl", ".md", ".png"}
    assert all(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert "`limner bench infer --quick` on" in text
    assert "| torch | fp32 | 2 | single-stream | 10.0 |" in text
    assert "| why |" in table(rows)


def test_what_was_measured_before_an_interruption_is_kept(tmp_path: Path) -> None:
    row = make_row()

    def measured() -> Iterator[Row]:
        yield row
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(measured(), BenchOptions(out=tmp_path), scale="batch")
    assert load(next(tmp_path.glob("*.jsonl"))) == [row]


def test_nothing_is_measured_if_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    measured = (pytest.fail("measured") for _ in range(1))
    with pytest.raises(UserError, match="cannot be read"):
        save(measured, BenchOptions(out=tmp_path, compare=tmp_path / "none.jsonl"), scale="batch")


def test_a_repeated_measurement_replaces_its_row_and_no_row_is_lost(tmp_path: Path) -> None:
    first, second, third = (make_row((time_ms,) * 3) for time_ms in (1.0, 2.0, 3.0))
    other = make_row(backend="other")
    options = BenchOptions(out=tmp_path)
    paths = [save(rows, options, scale="batch") for rows in ([first, other], [second], [third])]
    assert len(set(paths)) == 1
    path = paths[0]
    assert load(path) == [other, third]
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    superseded = (tmp_path / SUPERSEDED / path.name).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["p50_ms"] for line in superseded] == [1.0, 2.0]


def test_rows_of_earlier_versions_compare(tmp_path: Path) -> None:
    """Their names and placeholders are read as today's."""
    new = [
        replace(make_row(), scenario="end-to-end"),
        replace(make_row(), scenario="cold-start"),
        replace(make_row(), topic="train", backend="baseline"),
        replace(make_row(), topic="data", precision=None),
        replace(make_row(), scenario=None, precision=None, p50_ms=None, note="missing"),
        replace(make_row(), topic="scaling", scenario="weak, 1 worker"),
    ]
    old = [asdict(row) for row in new]
    for row in old:
        row["note"] = row["note"] or ""
    old[0]["scenario"], old[1]["scenario"], old[2]["backend"] = "files", "start", "plain"
    old[3]["precision"] = old[4]["precision"] = old[4]["scenario"] = "-"
    old[5]["scenario"] = "weak, 1 workers"
    path = tmp_path / "2026-01-01_infer_old.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in old), encoding="utf-8")
    assert load(path) == new


def test_a_comparison_flags_only_what_exceeds_the_spread() -> None:
    old = [make_row(backend="same"), make_row(backend="slower"), make_row(backend="faster"), make_row(backend="gone")]
    new = [
        make_row((9.5, 10.5, 11.5), "same"),
        make_row((19.0, 20.0, 21.0), "slower"),
        make_row((4.9, 5.0, 5.1), "faster"),
        make_row(backend="new"),
    ]
    verdicts = {line.split()[3]: line.split("|")[-2].strip() for line in compare(old, new).splitlines()[2:]}
    assert verdicts == {"same": "", "slower": "SLOWER", "faster": "faster"}
    assert "2.00x faster | ±" in compare(old, new)
    assert "2.00x slower | ±" in compare(old, new)
    assert compare(old[:1], new[1:]) == "nothing to compare: the two runs share no measurement"


def test_only_the_same_subject_compares_and_two_repeats_have_no_spread() -> None:
    row = make_row()
    assert "share no measurement" in compare([row], [replace(row, subject="another model")])
    assert "| too few repeats |" in compare([make_row((1.0, 1.0))], [make_row((9.0, 9.0))])


@pytest.mark.parametrize(
    ("speedups", "text"),
    [
        ((1.0, 1.0, 1.0), "| baseline |"),
        ((2.09, 1.87, 2.39), "| 2.09x faster (1.87 to 2.39) |"),
        ((0.8, 0.5, 0.9), "| 1.25x slower (1.11 to 2.00) |"),
        ((1.1, 0.8, 1.2), "| 1.10x faster (1.25x slower to 1.20x faster) |"),
        ((0.5, None, None), "| 2.00x slower |"),
        ((None, None, None), "| - |"),
    ],
)
def test_tables_say_faster_or_slower(speedups: tuple[float | None, ...], text: str) -> None:
    median, low, high = speedups
    row = replace(make_row(), vs_baseline=median, vs_baseline_low=low, vs_baseline_high=high, share_of_limit=0.5)
    assert text in table([row])


def test_no_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to measure: the options given leave out every case"):
        save([], BenchOptions(out=tmp_path), scale="batch")


def test_rows_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl: cannot be read .*: name a \.jsonl of an earlier run"):
        load(tmp_path / "none.jsonl")
    foreign = tmp_path / "foreign.jsonl"
    for text in ('{"a": 1}\n', "[1]\n", "not JSON\n"):
        foreign.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match="holds no benchmark rows"):
            load(foreign)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_results_are_the_newest_of_their_topic_and_hardware(path: Path) -> None:
    rows = load(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(newest(rows)) > 0
    assert {f"{row.topic}_{row.environment['hardware']}" for row in rows} == {path.stem}
    assert [json.loads(line) for line in lines] == [asdict(row) for row in rows], "names of earlier versions"
    assert path.with_suffix(".md").read_text(encoding="utf-8") == document(rows)


def test_the_performance_page_quotes_committed_rows() -> None:
    """Every number in its tables, rounded as it is there, is a figure of a row: as is, in %, or of seconds in ms."""
    assert len(COMMITTED) >= 4
    figures: list[float] = []
    for row in (row for path in COMMITTED for row in load(path)):
        values = [row.p50_ms, row.images_per_s, row.peak_memory_mib, row.batch, *row.details.values()]
        speedups = [row.vs_baseline, row.vs_baseline_low, row.vs_baseline_high]
        figures += [value for value in values if isinstance(value, int | float)]
        figures += [max(value, 1.0 / value) for value in speedups if value is not None]
        figures += [100.0 * (row.share_of_limit or 0.0), (row.p50_ms or 0.0) / 1000.0]
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").partition("## A GPU")[0]
    cells = [cell for line in text.splitlines() if line.startswith("|") for cell in line.split("|")[2:-1]]
    quoted = [number for cell in cells for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", cell)]
    assert len(quoted) >= 100
    in_rows = {f"{figure:.{decimals}f}" for figure in figures for decimals in range(3)}
    assert sorted(set(quoted) - in_rows) == []
