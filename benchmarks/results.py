"""The output of a benchmark: one JSON row per measurement, a table, plots, and a comparison with earlier rows."""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limner.benchmarks.plots import plot
from limner.core.config import require
from limner.core.util.errors import UserError
from limner.core.util.files import atomic_write
from limner.core.util.timing import Speedup, Timing, describe_speed

SUPERSEDED = "superseded"
"""Directory next to the rows, for those that a newer measurement replaced."""
MIN_REPEATS = 3
"""Repeats that a spread needs."""
FORMER_SCENARIOS = {"files": "end-to-end", "start": "cold-start"}
FORMER_VALUES: dict[str, dict[str, str | None]] = {
    "backend": {"plain": "baseline"},
    "precision": {"-": None},
    "scenario": {
        "-": None,
        "weak, 1 workers": "weak, 1 worker",
        "strong, 1 workers": "strong, 1 worker",
        **FORMER_SCENARIOS,
    },
    "note": {"": None},
}
"""What rows of earlier versions hold, and what it is called now."""

Key = tuple[str, str, str, str | None, int | None, str | None]


@dataclass(frozen=True)
class BenchOptions:
    """Options of every benchmark."""

    quick: bool = False
    """Few repeats of a small case: shows that it works, not how fast it is."""
    out: Path = Path("results")
    """Directory for rows, table and plots; rows of measurements that are repeated move to its superseded/."""
    compare: Path | None = None
    """Rows of an earlier run (.jsonl) to compare with."""
    threads: int = 0
    """CPU threads, and cores where the system lets a process choose; 0: all."""


@dataclass(frozen=True)
class Row:
    """One measurement; times are those of one run of `batch` images, None if it failed: see `note`."""

    topic: str
    subject: str
    """What is measured: networks or model, sizes, threads. Only rows of the same subject compare."""
    backend: str
    precision: str | None
    batch: int | None
    scenario: str | None
    """Precision, batch and scenario are None where they do not apply, such as in the row of a missing backend."""
    environment: dict[str, Any]
    rounds: int = 0
    """Interleaved repeats."""
    p10_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    images_per_s: float | None = None
    """None also if a run is no throughput, such as a cold start or a save."""
    vs_baseline: float | None = None
    """How many times as fast as the baseline of the same comparison: median over repeats."""
    vs_baseline_low: float | None = None
    vs_baseline_high: float | None = None
    """10th and 90th percentile of `vs_baseline` over repeats."""
    share_of_limit: float | None = None
    """Roofline fraction: of the measured matrix rate in this precision or of the bandwidth, whichever is larger."""
    peak_memory_mib: float | None = None
    note: str | None = None
    """Why there are no figures."""
    details: dict[str, Any] = field(default_factory=dict)
    """Values that only this topic has."""

    @property
    def key(self) -> Key:
        """Identify the measurement: rows of two runs with the same key compare."""
        return (self.topic, self.subject, self.backend, self.precision, self.batch, self.scenario)

    def with_timing(self, timing: Timing, images: int, speedup: Speedup | None = None, **changes: Any) -> "Row":
        """Fill in the figures; images: per timed run."""
        p50 = timing.percentile(50)
        return dataclasses.replace(
            self,
            rounds=len(timing.times_ms),
            p10_ms=timing.percentile(10),
            p50_ms=p50,
            p90_ms=timing.percentile(90),
            p99_ms=timing.percentile(99),
            images_per_s=1000.0 * images / p50,
            vs_baseline=speedup.median if speedup else None,
            vs_baseline_low=speedup.low if speedup else None,
            vs_baseline_high=speedup.high if speedup else None,
            details=self.details | {"warm_up": timing.warm_up} | changes.pop("details", {}),
            **changes,
        )

    def spread(self) -> float:
        """Return half the distance between the 10th and the 90th percentile as a fraction of the median."""
        assert self.p10_ms is not None
        assert self.p50_ms is not None
        assert self.p90_ms is not None
        return (self.p90_ms - self.p10_ms) / (2.0 * self.p50_ms)


def save(measured: Iterable[Row], options: BenchOptions, scale: str) -> Path:
    """Append rows to OUT/TOPIC_HARDWARE.jsonl as they come, then renew the table and the plots; return the rows' file.

    measured: an iterator that measures a row when asked for it, so that an interruption loses no row measured before.
    scale: what plots have on their x-axis, "batch" or one of the rows' details.
    Raises UserError if there is no row and, before anything is measured, if `options.compare` cannot be read.
    """
    earlier = load(options.compare) if options.compare is not None else []
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for row in measured:
        rows.append(row)
        _append([row], options.out / _file_name(row))
    require(bool(rows), "nothing to measure: the options given leave out every case")
    print(table(rows), flush=True)
    path = options.out / _file_name(rows[0])
    kept = keep_newest(path)
    same_subject = [dataclasses.asdict(row) for row in kept if row.subject == rows[0].subject]
    written = [path, path.with_suffix(".md"), *plot(same_subject, path, scale)]
    print(f"written: {', '.join(map(str, written))}", flush=True)
    if options.compare is not None:
        print(compare(earlier, rows))
    return path


def keep_newest(path: Path) -> list[Row]:
    """Keep the newest row of each measurement in `path`, renew its table, and move other rows to superseded/."""
    rows = _read(path)
    kept = newest(rows)
    superseded = [row for row in rows if not any(row is other for other in kept)]
    if superseded:
        history = path.parent / SUPERSEDED / path.name
        history.parent.mkdir(exist_ok=True)
        _append(superseded, history)
        with atomic_write(path) as tmp_path:
            _append(kept, tmp_path)
    path.with_suffix(".md").write_text(document(kept), encoding="utf-8")
    return kept


def newest(rows: Iterable[Row]) -> list[Row]:
    """Drop rows that a later one of the same measurement replaces."""
    found: dict[Key, Row] = {}
    for row in rows:
        found.pop(row.key, None)  # a newer row takes its place in the order too
        found[row.key] = row
    return list(found.values())


def load(path: Path) -> list[Row]:
    """Read the newest row of each measurement; UserError if the file is missing or holds anything else."""
    try:
        return newest(_read(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): name a .jsonl of an earlier run") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: holds no benchmark rows ({error}): name a .jsonl of an earlier run") from None


def _read(path: Path) -> list[Row]:
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = Row(**json.loads(line))
        values = {name: getattr(row, name) for name in FORMER_VALUES}
        rows.append(
            dataclasses.replace(row, **{name: FORMER_VALUES[name].get(values[name], values[name]) for name in values})
        )
    return rows


def _append(rows: Iterable[Row], path: Path) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(dataclasses.asdict(row)) + "\n" for row in rows)


def _file_name(row: Row) -> str:
    return f"{row.topic}_{row.environment['hardware']}.jsonl"


def document(rows: Iterable[Row]) -> str:
    """Render rows as Markdown, a section with its command, date and revision for each run."""
    sections = []
    for (subject, run), group in itertools.groupby(rows, lambda row: (row.subject, row.environment)):
        heading = f"`{run['command']}` on {run['hardware']}, {run['date']}, {run['git']}"
        sections.append(f"{heading}\n\n{subject}\n\n{table(list(group))}")
    return "\n".join(sections)


def table(rows: Sequence[Row]) -> str:
    """Render rows as a Markdown table."""
    lines = [
        "| backend | precision | batch | scenario | p50 ms | p90 ms | p99 ms | images/s | speed (p10 to p90) "
        "| roofline | MiB | |",
        "|---|---|--:|---|--:|--:|--:|--:|---|--:|--:|---|",
    ]
    for row in rows:
        cells = [row.backend, row.precision or "-", _show(row.batch, "d"), row.scenario or "-"]
        cells += [_show(value, ".1f") for value in (row.p50_ms, row.p90_ms, row.p99_ms)]
        cells += [_show(row.images_per_s, ".2f"), _show_speed(row), _show(row.share_of_limit, ".0%")]
        cells += [_show(row.peak_memory_mib, ".0f"), row.note or ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def compare(old: Sequence[Row], new: Sequence[Row]) -> str:
    """Render how much faster or slower the new rows are as a Markdown table.

    A change is flagged if it exceeds the spreads of both rows, added as independent ones.
    """
    before = {row.key: row for row in old if row.p50_ms is not None}
    lines = ["| measurement | before ms | now ms | change | spread | |", "|---|--:|--:|---|--:|---|"]
    for row in new:
        earlier = before.get(row.key)
        if earlier is None or row.p50_ms is None or earlier.p50_ms is None:
            continue
        speedup = earlier.p50_ms / row.p50_ms
        spread = math.hypot(earlier.spread(), row.spread())
        verdict = "" if abs(math.log(speedup)) <= math.log1p(spread) else "faster" if speedup > 1.0 else "SLOWER"
        if min(earlier.rounds, row.rounds) < MIN_REPEATS:
            verdict = "too few repeats"
        name = " ".join(str(part) for part in row.key if part is not None)
        change = describe_speed(speedup)
        lines.append(f"| {name} | {earlier.p50_ms:.1f} | {row.p50_ms:.1f} | {change} | ±{spread:.0%} | {verdict} |")
    if len(lines) == 2:
        return "nothing to compare: the two runs share no measurement"
    return "\n".join(lines)


def _show(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _show_speed(row: Row) -> str:
    """ "2.09x faster (1.87 to 2.39)", with the direction at each end if the spread contains 1."""
    speedup, low, high = row.vs_baseline, row.vs_baseline_low, row.vs_baseline_high
    if speedup is None:
        return "-"
    if speedup == 1.0:
        return "baseline"
    text = describe_speed(speedup)
    if low is None or high is None:
        return text
    if low < 1.0 < high:
        return f"{text} ({describe_speed(low)} to {describe_speed(high)})"
    ends = (low, high) if speedup > 1.0 else (1.0 / high, 1.0 / low)
    return f"{text} ({ends[0]:.2f} to {ends[1]:.2f})"
