"""What an importer finds in a source: items that can be prepared, files that cannot, and how names make pairs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from limner.core.images import Uint8Image
from limner.data_pipeline.importers.source import File

NO_PARTNER = "no partner"
DUPLICATE = "duplicate id"


@dataclass(frozen=True)
class Rejection:
    """A file that is not in the dataset, and why: a line of rejected.jsonl."""

    file: str
    reason: str
    """Few words, the same for all files that fail alike."""
    detail: str = ""


@dataclass(frozen=True)
class Item:
    """A picture or pair that can be prepared."""

    id: str
    files: tuple[str, ...]
    """The files it is made of, as paths in the source."""
    pictures: Callable[[], tuple[Uint8Image, Uint8Image | None]]
    """Reads photo and sketch, (H, W, 3) uint8 RGB of any size; raises PictureError."""
    style: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    test: bool = False
    """Whether it is in the source's own test part."""


@dataclass(frozen=True)
class Collection:
    """All that an importer found in a source."""

    importer: str
    name: str
    source: str
    """What it is and where it comes from, without a path of this machine."""
    licence: str
    files: tuple[File, ...]
    """All files that the result depends on."""
    items: tuple[Item, ...]
    rejected: tuple[Rejection, ...] = ()
    styles: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    """Where the files were looked for."""
    options: dict[str, Any] = field(default_factory=dict)
    """The importer's own options."""


class MadeOfFiles(Protocol):
    """A File or an Item."""

    @property
    def files(self) -> tuple[str, ...]:
        """Paths in the source."""


T = TypeVar("T", bound=MadeOfFiles)


def by_name(things: Iterable[T], name: Callable[[T], str]) -> tuple[dict[str, T], list[Rejection]]:
    """Files or items by a name in which case does not count.

    Those that share a name are all rejected: nothing says which of them is the right one.
    """
    groups: dict[str, list[T]] = {}
    for thing in things:
        groups.setdefault(name(thing).casefold(), []).append(thing)
    rejected = []
    for key, group in groups.items():
        if len(group) > 1:
            files = [file for thing in group for file in thing.files]
            rejected += [Rejection(file, DUPLICATE, f"{key!r} is each of {', '.join(files)}") for file in files]
    return {key: group[0] for key, group in groups.items() if len(group) == 1}, rejected


def match(
    photos: Mapping[str, File], sketches: Mapping[str, File]
) -> tuple[dict[str, tuple[File, File]], list[Rejection]]:
    """Photos and sketches of equal names; those left over are rejected."""
    pairs = {name: (photos[name], sketches[name]) for name in sorted(photos.keys() & sketches.keys())}
    alone = [
        Rejection(file.path, NO_PARTNER, f"no {partner} of that name")
        for files, partner in ((photos, "sketch"), (sketches, "photo"))
        for name, file in files.items()
        if name not in pairs
    ]
    return pairs, alone


def read_pair(photo: File, sketch: File) -> tuple[Uint8Image, Uint8Image]:
    """The pictures of a photo file and a sketch file."""
    return photo.decode(), sketch.decode()
