"""The result of reading a source: items that can be prepared, rejected files, and pairs matched by name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from limner.core.images import Uint8Image
from limner.data_pipeline.importers.source import File

NO_PARTNER = "no partner"
DUPLICATE = "duplicate id"


@dataclass(frozen=True)
class Rejection:
    """A file that is left out of the dataset, and why: a line of rejected.jsonl."""

    file: str
    reason: str
    """One of a few fixed phrases, so that rejections can be counted by it."""
    detail: str = ""


@dataclass(frozen=True)
class Item:
    """An image or a pair that can be prepared."""

    id: str
    files: tuple[str, ...]
    """The files that it is made from, as paths in the source."""
    load: Callable[[], tuple[Uint8Image, Uint8Image | None]]
    """Loads photo and sketch, (H, W, 3) uint8 RGB of any size; raises ImageError."""
    style: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    test: bool = False
    """Whether it belongs to the source's official test split."""


@dataclass(frozen=True)
class Collection:
    """Everything that an importer found in a source."""

    importer: str
    name: str
    source: str
    """Description and origin, without a path of this machine."""
    licence: str
    files: tuple[File, ...]
    """All files that the result depends on."""
    items: tuple[Item, ...]
    rejected: tuple[Rejection, ...] = ()
    styles: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    """Folders that the files come from."""
    options: dict[str, Any] = field(default_factory=dict)
    """The importer's own options."""
    generated: bool = False
    """Whether Limner generated the images itself."""

    @property
    def test_ids(self) -> set[str]:
        """The ids of the official test split."""
        return {item.id for item in self.items if item.test}


class HasFiles(Protocol):
    """A File or an Item."""

    @property
    def files(self) -> tuple[str, ...]:
        """Paths in the source."""


T = TypeVar("T", bound=HasFiles)


def index_by_name(things: Iterable[T], name: Callable[[T], str]) -> tuple[dict[str, T], list[Rejection]]:
    """Index files or items by name, case ignored; reject all that share a name, since none can be preferred."""
    groups: dict[str, list[T]] = {}
    for thing in things:
        groups.setdefault(name(thing).casefold(), []).append(thing)
    rejected = []
    for key, group in groups.items():
        if len(group) > 1:
            files = [file for thing in group for file in thing.files]
            rejected += [Rejection(file, DUPLICATE, f"{key!r} is each of {', '.join(files)}") for file in files]
    return {key: group[0] for key, group in groups.items() if len(group) == 1}, rejected


def match_pairs(
    photos: Iterable[File], sketches: Iterable[File], name: Callable[[File], str]
) -> tuple[dict[str, tuple[File, File]], list[Rejection]]:
    """Pair photos with sketches of the same name, case ignored, sorted by name; reject duplicates and the unpaired."""
    photo_of, rejected_photos = index_by_name(photos, name)
    sketch_of, rejected_sketches = index_by_name(sketches, name)
    pairs = {key: (photo_of[key], sketch_of[key]) for key in sorted(photo_of.keys() & sketch_of.keys())}
    unpaired = [
        Rejection(file.path, NO_PARTNER, f"no {partner} of that name")
        for files, partner in ((photo_of, "sketch"), (sketch_of, "photo"))
        for key, file in files.items()
        if key not in pairs
    ]
    return pairs, [*rejected_photos, *rejected_sketches, *unpaired]


def decode_pair(photo: File, sketch: File) -> tuple[Uint8Image, Uint8Image]:
    """Decode a photo file and a sketch file, both (H, W, 3) uint8 RGB."""
    return photo.decode(), sketch.decode()
