"""What a benchmark leaves: one JSON row per measurement, a table, plots, and a comparison with an earlier run."""

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from limner.benchmarks.harness import Ratio, Timing
from limner.benchmarks.plots import plot
from limner.core.config import require
from limner.core.util.errors import UserError

SPREAD_ROUNDS = 3
"""Rounds that a spread takes at least."""


@dataclass(frozen=True)
class Options:
    """What all benchmarks take."""

    quick: bool = False
    """A few rounds of a small case: shows that it works, not how fast it is."""
    out: Path = Path("results")
    """Directory for the rows, the table and the plots."""
    compare: Path | None = None
    """Rows of an earlier run to compare with."""
    threads: int = 0
    """CPU threads, and cores where the system allows to choose; 0: all."""


@dataclass(frozen=True)
class Row:
    """One measurement. Times are those of one run of `batch` images; None where it could not be made: see `note`."""

    topic: str
    subject: str
    """What was measured, in words: the networks or the model, sizes, threads. Rows of other subjects do not compare."""
    backend: str
    precision: str
    batch: int
    scenario: str
    environment: dict[str, Any]
    rounds: int = 0
    p10_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    images_per_s: float | None = None
    """None too where a run is no stretch of work, such as a start or a save."""
    vs_baseline: float | None = None
    """How many times as fast as the baseline of the same comparison: the median over rounds."""
    vs_baseline_low: float | None = None
    vs_baseline_high: float | None = None
    """10th and 90th percentile over rounds: the spread of `vs_baseline`."""
    share_of_limit: float | None = None
    """Of the machine's measured matrix rate in this precision, or of its bandwidth, whichever is larger."""
    peak_memory_mib: float | None = None
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    """What only this topic has."""

    @property
    def key(self) -> tuple[str, str, str, str, int, str]:
        """What makes two rows of two runs the same measurement."""
        return (self.topic, self.subject, self.backend, self.precision, self.batch, self.scenario)

    def timed(self, timing: Timing, images: int, against: Ratio | None = None, **changes: Any) -> "Row":
        """This row with its figures; images: how many one run handles."""
        p50 = timing.percentile(50)
        ratio = dataclasses.asdict(against) if against else {"median": None, "low": None, "high": None}
        return dataclasses.replace(
            self,
            rounds=len(timing.times_ms),
            p10_ms=timing.percentile(10),
            p50_ms=p50,
            p90_ms=timing.percentile(90),
            p99_ms=timing.percentile(99),
            images_per_s=1000.0 * images / p50,
            vs_baseline=ratio["median"],
            vs_baseline_low=ratio["low"],
            vs_baseline_high=ratio["high"],
            details=self.details | {"warm_up": timing.warm_up} | changes.pop("details", {}),
            **changes,
        )

    def spread(self) -> float:
        """Half the way from the 10th to the 90th percentile, as a fraction of the median."""
        assert self.p10_ms is not None
        assert self.p50_ms is not None
        assert self.p90_ms is not None
        return (self.p90_ms - self.p10_ms) / (2.0 * self.p50_ms)


def save(measured: Iterable[Row], options: Options, scale: str) -> Path:
    """Write rows as they come, then their table and plots, and compare if asked to; returns the rows' file.

    measured: rows, each measured when it is asked for, so that what was measured outlives an interruption.
    scale: what `images_per_s` is plotted against: "batch" or "workers".
    Raises UserError where there is no row, and, before anything is measured, where there are none to compare with.
    """
    earlier = load(options.compare) if options.compare is not None else []
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    path = options.out
    for row in measured:
        if not rows:
            name = f"{datetime.now(timezone.utc).date()}_{row.topic}_{row.environment['hardware']}.jsonl"
            path = _free(options.out / name)
        rows.append(row)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(row)) + "\n")
    require(bool(rows), "nothing to measure: every case is left out by the options given")
    written = table(rows)
    path.with_suffix(".md").write_text(_heading(rows[0]) + written, encoding="utf-8")
    print(written, flush=True)
    plotted = plot([dataclasses.asdict(row) for row in rows], path, scale)
    print(f"rows: {path}; {len(plotted)} plot(s) beside it", flush=True)
    if options.compare is not None:
        print(compare(earlier, rows))
    return path


def load(path: Path) -> list[Row]:
    """Rows of an earlier run; UserError where the file is missing or holds anything else."""
    try:
        rows = [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): name a .jsonl of an earlier run") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: holds no benchmark rows ({error}): name a .jsonl of an earlier run") from None
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| backend | precision | batch | scenario | p50 ms | p90 ms | p99 ms | images/s | vs baseline | of limit "
        "| MiB | |",
        "|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        ratio = "-"
        if row.vs_baseline is not None:
            ratio = f"{row.vs_baseline:.2f}"
        if row.vs_baseline_low is not None:
            ratio += f" ({row.vs_baseline_low:.2f} to {row.vs_baseline_high:.2f})"
        share = "-" if row.share_of_limit is None else f"{row.share_of_limit:.0%}"
        figures = [_show(value, ".1f") for value in (row.p50_ms, row.p90_ms, row.p99_ms)]
        figures += [_show(row.images_per_s, ".2f"), ratio, share, _show(row.peak_memory_mib, ".0f"), row.note]
        lines.append(f"| {row.backend} | {row.precision} | {row.batch} | {row.scenario} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def compare(old: Sequence[Row], new: Sequence[Row]) -> str:
    """How many times as fast the new rows are, with the spread of both runs, as a Markdown table.

    A change is outside where it exceeds the two rows' spreads, added as independent ones are.
    """
    before = {row.key: row for row in old if row.p50_ms is not None}
    lines = ["| measurement | before ms | now ms | times as fast | spread | |", "|---|--:|--:|--:|--:|---|"]
    for row in new:
        earlier = before.get(row.key)
        if earlier is None or row.p50_ms is None or earlier.p50_ms is None:
            continue
        ratio = earlier.p50_ms / row.p50_ms
        spread = math.hypot(earlier.spread(), row.spread())
        verdict = "" if abs(math.log(ratio)) <= math.log1p(spread) else "faster" if ratio > 1.0 else "SLOWER"
        if min(earlier.rounds, row.rounds) < SPREAD_ROUNDS:
            verdict = "too few rounds"
        name = " ".join(str(part) for part in row.key)
        lines.append(f"| {name} | {earlier.p50_ms:.1f} | {row.p50_ms:.1f} | {ratio:.2f} | ±{spread:.0%} | {verdict} |")
    if len(lines) == 2:
        return "nothing to compare: the two runs share no measurement"
    return "\n".join(lines)


def _heading(row: Row) -> str:
    source = row.environment
    place = f"`{source['command']}` on {source['hardware']}, {source['date']}, {source['git']}"
    return f"{place}\n\n{row.subject}\n\n"


def _show(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _free(path: Path) -> Path:
    """`path`, or where it is taken the first of path-2, path-3, ... that is not: no result is overwritten."""
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
