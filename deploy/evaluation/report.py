"""The report of an evaluation: metrics.json for programs, report.md and report.html for people, sheet.png for both."""

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Column
from rich.table import Table as RichTable

from limner.core.image_grid import save_png
from limner.core.images import Uint8Image
from limner.core.util.errors import UserError
from limner.core.util.files import atomic_write
from limner.core.util.tables import log_table

METRICS, MARKDOWN, HTML, GRID = "metrics.json", "report.md", "report.html", "sheet.png"
CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fafaf7 }
body { max-width: 1100px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin: 1.6em 0 .4em }
.tables { display: flex; flex-wrap: wrap; gap: 0 3em }
table { border-collapse: collapse; background: #fff }
th, td { padding: .3em 1em; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left }
tbody tr:first-child { font-weight: bold }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2em 1em }
dl:last-of-type { font-size: .85em; color: #555 }
dd { margin: 0; overflow-wrap: anywhere } img { max-width: 100% }
"""


@dataclass(frozen=True)
class Table:
    """Rows of text; the first row is the model's, the others are for comparison."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Report:
    """One evaluation, ready to be shown and written."""

    title: str
    facts: Mapping[str, str | int]
    """What was evaluated on what."""
    tables: Sequence[Table]
    definitions: Mapping[str, str]
    """A sentence for each metric and each baseline in the tables."""
    grid: Uint8Image
    grid_title: str
    metrics: Mapping[str, Any]
    """All values, for metrics.json; what is not finite becomes null."""


def check_output(out: Path) -> None:
    """Raise UserError unless `out` is free or holds an earlier evaluation, whose files are then replaced."""
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / METRICS).is_file())):
        raise UserError(
            f"{out} exists and is not an evaluation (no {METRICS}): give another --out, nothing was changed"
        )


def write_report(out: Path, report: Report) -> None:
    """Write the four files into `out`, atomically each; metrics.json, which marks an evaluation, first."""
    out.mkdir(parents=True, exist_ok=True)
    metrics = json.dumps(_finite(report.metrics), indent=2, ensure_ascii=False, allow_nan=False)
    _write(out / METRICS, metrics + "\n")
    save_png(out / GRID, report.grid)
    _write(out / MARKDOWN, to_markdown(report))
    _write(out / HTML, to_html(report, (out / GRID).read_bytes()))


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as tmp_path:
        tmp_path.write_text(text, encoding="utf-8")


def show_report(report: Report) -> None:
    """Print the tables."""
    for table in report.tables:
        first, *others = table.columns
        printed = RichTable(Column(first, no_wrap=True), title=table.title, title_justify="left")
        for column in others:
            printed.add_column(column, justify="right")
        for row in table.rows:
            printed.add_row(*row)
        log_table(printed)


def to_markdown(report: Report) -> str:
    """Format the report as Markdown; the grid is the file next to it."""
    parts = [f"# {report.title}", f"## {report.grid_title}", f"![{report.grid_title}]({GRID})"]
    for table in report.tables:
        head = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)]]
        parts += [f"## {table.title}", "\n".join(f"| {' | '.join(row)} |" for row in [*head, *table.rows])]
    definitions = "\n".join(f"- **{name}**: {text}" for name, text in report.definitions.items())
    facts = "\n".join(f"- {name}: `{value}`" for name, value in report.facts.items())
    return "\n\n".join([*parts, "## What the numbers mean", definitions, "## What was evaluated", facts]) + "\n"


def to_html(report: Report, png: bytes) -> str:
    """Format the report as one HTML page that needs no other file; `png` is its grid."""

    def row(cells: Sequence[str], kind: str) -> str:
        return "<tr>" + "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells) + "</tr>"

    tables = "".join(
        f"<section><h2>{html.escape(table.title)}</h2>\n<table><thead>{row(table.columns, 'th')}</thead>\n<tbody>"
        + "\n".join(row(cells, "td") for cells in table.rows)
        + "</tbody></table></section>\n"
        for table in report.tables
    )
    title, grid_title = html.escape(report.title), html.escape(report.grid_title)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{CSS}</style></head>
<body><h1>{title}</h1>
<h2>{grid_title}</h2>
<img alt="{grid_title}" src="data:image/png;base64,{base64.b64encode(png).decode()}">
<div class="tables">
{tables}</div>
<h2>What the numbers mean</h2>
{_description_list(report.definitions)}
<h2>What was evaluated</h2>
{_description_list(report.facts)}
</body></html>
"""


def _description_list(entries: Mapping[str, str | int]) -> str:
    items = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(text))}</dd>" for name, text in entries.items())
    return f"<dl>{''.join(items)}</dl>"


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
