"""`limner prepare`: turn images as downloaded into a dataset directory."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from limner.core.util.cli import parse
from limner.core.util.subcommands import pick
from limner.data_pipeline.importers.combined import import_combined
from limner.data_pipeline.importers.cuhk import import_cuhk
from limner.data_pipeline.importers.folders import import_pairs, import_portraits
from limner.data_pipeline.importers.fs2k import import_fs2k
from limner.data_pipeline.importers.merge import merge_datasets
from limner.data_pipeline.importers.pencil import import_pencil
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic


@dataclass(frozen=True)
class Out:
    """What every importer takes."""

    out: Path
    """The dataset directory to make, such as data/NAME."""


@dataclass(frozen=True)
class OutImages(Out):
    """What every importer takes that writes images."""

    options: Annotated[PrepareOptions, tyro.conf.arg(name="")]


@dataclass(frozen=True)
class FromSource(OutImages):
    """Make a dataset directory from a folder or zip archive of images."""

    source: Path
    """The folder, or the zip archive as downloaded."""


@dataclass(frozen=True)
class FromPairs(OutImages):
    """Make a dataset directory from photos and sketches in two folders, paired by name."""

    photos: Path
    """A folder or zip archive of photos."""
    sketches: Path
    """A folder or zip archive with a sketch of the same name for each photo, of any file type."""


@dataclass(frozen=True)
class FromNothing(OutImages):
    """Make a dataset directory of portraits that Limner renders, with exact sketches in three styles."""

    count: int
    """Number of pairs."""


@dataclass(frozen=True)
class FromDatasets(Out):
    """Make a dataset directory with named styles from prepared ones; splits stay as they are."""

    datasets: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """The dataset directories to join, of one size and fit."""
    styles: tuple[str, ...]
    """A name for each style of each dataset, in order; without styles a dataset is one. The same name joins styles."""


IMPORTERS: dict[str, tuple[type[Out], Callable[..., None], str]] = {
    "fs2k": (FromSource, import_fs2k, "FS2K, photo-sketch pairs in three styles"),
    "cuhk": (FromSource, import_cuhk, "CUHK Face Sketch, photo-sketch pairs"),
    "pairs": (FromPairs, import_pairs, "photos and sketches of the same names in two folders"),
    "combined": (FromSource, import_combined, "images with photo and sketch side by side"),
    "portraits": (FromSource, import_portraits, "photos alone, for dcgan"),
    "pencil": (FromSource, import_pencil, "photos, with pencil sketches computed by OpenCV"),
    "synthetic": (FromNothing, import_synthetic, "portraits and sketches that Limner renders itself"),
    "merge": (FromDatasets, merge_datasets, "prepared datasets, joined into one with named styles"),
}
"""name -> its options, the function that takes them by name, and what it reads."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the importer that the first argument names."""
    table = {name: about for name, (_, _, about) in IMPORTERS.items()}
    name, rest = pick("limner prepare", "Turn images as downloaded into a dataset directory.", table, arguments)
    command, importer, _ = IMPORTERS[name]
    options = parse(command, rest, prog=f"limner prepare {name}")
    importer(**{field.name: getattr(options, field.name) for field in dataclasses.fields(options)})
