"""Files named by their contents, and files and directories that are written whole or not at all."""

import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".partial"
"""Of what is being written, in a hidden name next to its target."""


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; reads it in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it replaces `path` if the block succeeds and is removed if it fails."""
    tmp_path = _tmp_path(path)
    try:
        yield tmp_path
        tmp_path.replace(path)
    finally:
        tmp_path.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path, replace: bool = True) -> Iterator[Path]:
    """Yield an empty temporary directory next to `path`; it replaces `path` if the block succeeds, else it is removed.

    replace: if False, only an absent or empty `path` is replaced; any other raises OSError at the end and stays.
    Parents are created. What dead processes of this machine left there is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    tmp_path, old = _tmp_path(path), _tmp_path(path, "old-")
    shutil.rmtree(tmp_path, ignore_errors=True)  # of a process that had the same number
    tmp_path.mkdir()
    try:
        yield tmp_path
        if not replace:
            with suppress(OSError):
                path.rmdir()  # Windows renames not even over an empty directory
        elif path.exists():  # renaming over a directory works for empty ones at most
            path.rename(old)
        tmp_path.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)


def sync_directory(path: Path) -> None:
    """Make renames within a directory survive a power failure."""
    if os.name == "posix":  # Windows cannot open a directory; its rename is durable enough
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _tmp_path(path: Path, kind: str = "") -> Path:
    """Unique to this process, so that two that write the same target do not mix."""
    return path.with_name(f".{path.name}.{kind}{socket.gethostname()}-{os.getpid()}{SUFFIX}")


def _remove_leftovers(parent: Path) -> None:
    """Remove temporary directories whose process is dead; it is not known of those of other machines.

    A directory that was just making way for its successor is put back.
    """
    pattern = re.compile(rf"\.(.+)\.(old-)?{re.escape(socket.gethostname())}-([0-9]+){re.escape(SUFFIX)}")
    for found in list(parent.iterdir()):
        match = pattern.fullmatch(found.name)
        if match and found.is_dir() and not _is_alive(int(match[3])):
            target = parent / match[1]
            if match[2] and not target.exists():
                found.rename(target)
            else:
                shutil.rmtree(found, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    if os.name != "posix":  # os.kill would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
