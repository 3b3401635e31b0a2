"""Turn pictures as downloaded into a dataset directory.

Example: python scripts/prepare_data.py fs2k --source FS2K.zip --out data/fs2k
"""

from collections.abc import Callable

import tyro

from core.errors import run_command
from data_pipeline.importers.combined import import_combined
from data_pipeline.importers.cuhk import import_cuhk
from data_pipeline.importers.folders import import_pairs, import_portraits
from data_pipeline.importers.fs2k import import_fs2k
from data_pipeline.importers.pencil import import_pencil
from data_pipeline.importers.synthetic import import_synthetic

COMMANDS: dict[str, Callable[..., None]] = {
    "fs2k": import_fs2k,
    "cuhk": import_cuhk,
    "pairs": import_pairs,
    "combined": import_combined,
    "portraits": import_portraits,
    "pencil": import_pencil,
    "synthetic": import_synthetic,
}


def main() -> None:
    """Read the command line and run one importer."""
    tyro.extras.subcommand_cli_from_dict(COMMANDS, description=__doc__, config=(tyro.conf.OmitArgPrefixes,))


if __name__ == "__main__":
    run_command(main)
