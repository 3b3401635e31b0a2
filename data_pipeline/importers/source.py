"""Read a folder or a zip archive as a sorted list of files, without unpacking anything to disk."""

import hashlib
import lzma
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from limner.core.images import Uint8Image
from limner.core.util.errors import UserError
from limner.data_pipeline.images import MAX_FILE_BYTES, ImageError, decode_image, read_file

MAX_ZIP_RATIO = 200
"""Zip entries of over 1 MiB that grow by more than this are refused as bombs; images hardly shrink in a zip."""
SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}
"""Files that operating systems leave in folders and archives, in addition to names with a leading dot."""
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows reserves for devices."""


@dataclass(frozen=True)
class File:
    """A file of a source."""

    path: str
    """Path in the source, with forward slashes."""
    read: Callable[[], bytes]
    """Reads its bytes; raises ImageError if it is too large or cannot be read."""

    @property
    def files(self) -> tuple[str, ...]:
        """Its path, as for an item made from one file."""
        return (self.path,)

    @property
    def stem(self) -> str:
        """The path without the extension, in Unicode's normal form C, so that it is the same on every system."""
        return unicodedata.normalize("NFC", str(PurePosixPath(self.path).with_suffix("")))

    def decode(self) -> Uint8Image:
        """Decode it as an image, (H, W, 3) uint8 RGB; raises ImageError."""
        return decode_image(self.read(), self.path)


def open_source(path: Path) -> tuple[File, ...]:
    """List the files in a folder or zip archive, sorted by path, without hidden and system files.

    Raises UserError if there is no such folder or archive, or if the archive is not safe to read.
    """
    if path.is_dir():
        files = list(_walk(path))
    elif path.is_file() and zipfile.is_zipfile(path):
        files = list(_read_zip(path))
    else:
        problem = "neither a folder nor a zip archive" if path.exists() else "there is no such folder or zip archive"
        raise UserError(f"{path}: {problem}; give the one that holds the images")
    return tuple(sorted((file for file in files if not _is_system_file(file.path)), key=lambda file: file.path))


def _is_system_file(path: str) -> bool:
    return any(part.startswith(".") or part.casefold() in SYSTEM_FILES for part in PurePosixPath(path).parts)


def _walk(root: Path) -> Iterator[File]:
    seen: set[Path] = set()
    for name, folders, files in os.walk(root, followlinks=True):
        folder = Path(name)
        if folder.resolve() in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(folder.resolve())
        for file in files:
            relative = (folder / file).relative_to(root).as_posix()
            yield File(relative, partial(read_file, folder / file, relative))


def _read_zip(path: Path) -> Iterator[File]:
    try:
        archive = zipfile.ZipFile(path)  # stays open as long as one of its files exists
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path} is a damaged zip archive ({error}): download it again") from error
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    for entry in entries:
        problem = _find_problem(entry)
        if problem is not None:
            raise UserError(
                f"{path} is refused: its entry {entry.filename!r} {problem}; unpack it yourself if you trust it"
            )
    total = sum(entry.file_size for entry in entries)
    if total > MAX_ZIP_RATIO * max(path.stat().st_size, 2**20):  # entries may share their compressed bytes
        raise UserError(f"{path} is refused: it would grow to {total} bytes, over {MAX_ZIP_RATIO} times its size")

    def read(entry: zipfile.ZipInfo) -> bytes:
        try:
            return archive.read(entry)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            raise ImageError("unreadable", str(error), entry.filename) from error

    for entry in entries:
        yield File(entry.filename, partial(read, entry))


def _find_problem(entry: zipfile.ZipInfo) -> str | None:
    """Say why a zip entry must not be read; None if it may."""
    name = entry.orig_filename.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "leaves the target folder"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a symbolic link"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.file_size > MAX_FILE_BYTES:
        return f"has {entry.file_size} bytes, allowed {MAX_FILE_BYTES}"
    if entry.file_size > max(2**20, MAX_ZIP_RATIO * entry.compress_size):
        return f"grows to {entry.file_size} bytes, over {MAX_ZIP_RATIO} times its size (a decompression bomb?)"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        return f"is compressed by method {entry.compress_type}, which Python cannot read"
    return None


def select_release(files: Iterable[File], folders: set[str], source: Path, what: str) -> tuple[File, ...]:
    """Select the files of the one release in a source, with paths relative to its folder.

    folders: the folders that look like a release. what: the release, as errors call it.
    Raises UserError unless there is exactly one folder.
    """
    if len(folders) != 1:
        found = f"found {len(folders)}: {', '.join(sorted(folders))}" if folders else "found none"
        raise UserError(f"{source} must hold one copy of {what}; {found}")
    prefix = "" if folders == {"."} else f"{folders.pop()}/"
    return tuple(File(file.path[len(prefix) :], file.read) for file in files if file.path.startswith(prefix))


def safe_id(name: str) -> str:
    """Make a record's id from its name in the source: an ASCII file name that is valid on every platform.

    A name that has to be changed gets a hash of the original, so that different names give different ids.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:100] or "picture"  # ids enter the content hash: keep
    if safe == name and not RESERVED.fullmatch(safe):
        return safe
    return f"{safe.replace('.', '_')}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
