"""What a preparation shows: warnings and a summary."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from limner.data_pipeline.index import Record


def warn(message: str) -> None:
    """One line on stderr."""
    print(f"warning: {message}", file=sys.stderr)


def show_summary(
    out: Path, splits: Mapping[str, Sequence[Record]], styles: Sequence[str], reasons: Iterable[str]
) -> None:
    """Counts per split (and style) and per reason of rejection; a warning for each empty split."""
    console = Console()
    table = Table("split", "pictures", *styles, title=f"{out}")
    everything = [record for records in splits.values() for record in records]
    for name, records in (*splits.items(), ("all", everything)):
        counts = Counter(record.style for record in records)
        table.add_row(name, str(len(records)), *(str(counts[style]) for style in range(len(styles))))
    console.print(table)
    rejected = Counter(reasons)
    if rejected:
        table = Table("rejected because", "files", title=f"{out / 'rejected.jsonl'}")
        for reason, count in rejected.most_common():
            table.add_row(reason, str(count))
        console.print(table)
    else:
        console.print("rejected: none")
    for name, records in splits.items():
        if not records:
            warn(f"the {name} split is empty")
