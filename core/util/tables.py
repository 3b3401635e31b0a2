"""Tables for people, by the same way as every other line."""

import io
import shutil

from rich.console import Console
from rich.table import Table

from limner.core.util.log import log


def log_table(table: Table) -> None:
    """Log a table as plain text, as wide as the terminal."""
    console = Console(file=io.StringIO(), width=shutil.get_terminal_size((100, 24)).columns)
    with console.capture() as capture:
        console.print(table)
    log.info(capture.get().rstrip())
