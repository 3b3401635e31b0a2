"""Turn pictures as downloaded into a dataset directory.

Example: python scripts/prepare_data.py fs2k --source FS2K.zip --out data/fs2k
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Annotated, Any, Union

import tyro

from limner.core.util.cli import parse
from limner.core.util.errors import run_command
from limner.data_pipeline.importers.combined import import_combined
from limner.data_pipeline.importers.cuhk import import_cuhk
from limner.data_pipeline.importers.folders import import_pairs, import_portraits
from limner.data_pipeline.importers.fs2k import import_fs2k
from limner.data_pipeline.importers.pencil import import_pencil
from limner.data_pipeline.importers.synthetic import import_synthetic

Importer = Callable[..., None]

IMPORTERS: dict[str, Importer] = {
    "fs2k": import_fs2k,
    "cuhk": import_cuhk,
    "pairs": import_pairs,
    "combined": import_combined,
    "portraits": import_portraits,
    "pencil": import_pencil,
    "synthetic": import_synthetic,
}


def main() -> None:
    """Read the command line, then run the importer that it names."""
    # Bound first and run after: what an importer prints is its own, what the parser prints becomes one line.
    commands = tuple(
        Annotated[Any, tyro.conf.subcommand(name, constructor=_bound(importer))] for name, importer in IMPORTERS.items()
    )
    run = parse(Annotated[Union[commands], tyro.conf.OmitArgPrefixes])  # noqa: UP007
    run()


def _bound(importer: Importer) -> Callable[..., Callable[[], None]]:
    @wraps(importer)
    def bind(*args: Any, **options: Any) -> Callable[[], None]:
        return partial(importer, *args, **options)

    return bind


if __name__ == "__main__":
    run_command(main)
