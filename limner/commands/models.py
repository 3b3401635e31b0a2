"""`limner models`: what can be given as `--model`: the model that comes with Limner, models, runs and engines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from limner.core.runs import CONFIG, ENGINES, MANIFEST, MODEL, MODELS, RUNS, SHIPPED
from limner.core.util.cli import parse
from limner.core.util.errors import UserError
from limner.core.util.log import log
from limner.core.util.tables import log_table

HEADER = ("name", "what", "task", "pixels", "styles", "MB", "directory")


@dataclass(frozen=True)
class Options:
    """List the models and engines that are there, by the name that --model takes."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; arguments: None: those of this process."""
    parse(Options, arguments, prog="limner models")
    rows = list(list_models())
    table = Table(*HEADER)
    for row in rows:
        table.add_row(*row)
    if rows:
        log_table(table)
    else:
        log.info("no models here: limner train makes one")


def list_models() -> Iterator[tuple[str, ...]]:
    """A row of text for each, the shipped model first; what cannot be read has its reason in place of the task."""
    if SHIPPED.is_dir():
        yield SHIPPED.name, "shipped", *_describe(SHIPPED), str(SHIPPED)
    for directory in sorted(path.parent for path in MODELS.glob(f"*/{CONFIG}")):
        if not (SHIPPED.is_dir() and directory.samefile(SHIPPED)):  # in a checkout it lies there too
            yield directory.name, "model", *_describe(directory), str(directory)
    for directory in sorted(path.parent for path in RUNS.glob(f"*/{MODEL}/{CONFIG}")):
        yield directory.parent.name, "run", *_describe(directory), str(directory.parent)
    for directory in sorted(path.parent for path in ENGINES.glob(f"*/{MANIFEST}")):
        yield directory.name, "engine", *_describe(directory), str(directory)


def _describe(directory: Path) -> tuple[str, str, str, str]:
    from limner.core.bundle import load_bundle_config  # torch: only after the help
    from limner.deploy.manifest import read_manifest

    try:
        is_engine = (directory / MANIFEST).is_file()
        found = read_manifest(directory).source if is_engine else load_bundle_config(directory)
    except UserError as error:
        return str(error), "", "", _megabytes(directory)
    return found.task, str(found.image_size), ", ".join(found.styles), _megabytes(directory)


def _megabytes(directory: Path) -> str:
    return f"{sum(file.stat().st_size for file in directory.rglob('*') if file.is_file()) / 1e6:.3g}"
