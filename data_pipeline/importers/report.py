"""Messages of a preparation to the user: notices, warnings and a summary."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.table import Table

from limner.core.util.log import log
from limner.core.util.tables import log_table
from limner.core.util.text import count_of
from limner.data_pipeline.index import Record


def warn(message: str) -> None:
    """Warn of something in one line."""
    log.warning(message)


def show_unchanged(out: Path) -> None:
    """Print that `out` needs no preparation."""
    log.info(f"{out} is already prepared from this source with these options: nothing to do")


def show_summary(
    out: Path, splits: Mapping[str, Sequence[Record]], styles: Sequence[str], reasons: Iterable[str]
) -> None:
    """Print the number of images per split and style, and of rejected files per reason."""
    log.info(str(out))
    table = Table("split", "images", *styles)
    everything = [record for records in splits.values() for record in records]
    for name, records in (*splits.items(), ("all", everything)):
        counts = Counter(record.style for record in records)
        table.add_row(name, str(len(records)), *(str(counts[style]) for style in range(len(styles))))
    log_table(table)
    rejected = Counter(reasons)
    if not rejected:
        log.info("rejected: none")
        return
    log.info(f"rejected: {count_of(rejected.total(), 'file')}, listed in {out / 'rejected.jsonl'}")
    table = Table("rejected because", "files")
    for reason, count in rejected.most_common():
        table.add_row(reason, str(count))
    log_table(table)
