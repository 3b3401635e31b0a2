import hashlib
import os
import socket
import subprocess
from pathlib import Path

import pytest

from limner.core.util.files import atomic_directory, atomic_write, sha256


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_checksum_is_that_of_all_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000  # more than one piece
    (tmp_path / "file").write_bytes(data)
    assert sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def _fail_in_the_middle(path: Path) -> None:
    path.write_text("ne", encoding="utf-8")
    raise OSError("disk full")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(OSError, match="full"), atomic_write(path) as partial:
        _fail_in_the_middle(partial)
    assert names(tmp_path) == ["file"]
    assert path.read_text(encoding="utf-8") == "old"
    with atomic_write(path) as partial:
        partial.write_text("new", encoding="utf-8")
    assert names(tmp_path) == ["file"]
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("before", [None, "old"])
def test_a_directory_is_replaced_whole_or_not_at_all(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "deep" / "directory"
    if before is not None:
        path.mkdir(parents=True)
        (path / before).touch()
    with pytest.raises(OSError, match="full"), atomic_directory(path) as partial:
        _fail_in_the_middle(partial / "file")
    assert names(path.parent) == ([] if before is None else ["directory"])
    with atomic_directory(path) as partial:
        (partial / "new").touch()
    assert names(path.parent) == ["directory"]
    assert names(path) == ["new"]


@pytest.mark.parametrize("exists", [False, True])
def test_a_directory_that_must_not_be_replaced_may_be_absent_or_empty(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "directory"
    if exists:
        path.mkdir()
    with atomic_directory(path, replace=False) as partial:
        (partial / "new").touch()
    assert names(path) == ["new"]
    with pytest.raises(OSError), atomic_directory(path, replace=False) as partial:  # noqa: PT011 (by platform)
        (partial / "newer").touch()
    assert names(path) == ["new"]
    assert names(tmp_path) == ["directory"]


@pytest.mark.skipif(os.name != "posix", reason="only there a process can be asked for without harm")
def test_leftovers_of_dead_processes_are_removed_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    host = socket.gethostname()
    dead, living, elsewhere = (f".target.{name}.partial" for name in (f"{host}-{ended.pid}", f"{host}-1", "other-1"))
    for name in (dead, living, elsewhere):
        (tmp_path / name).mkdir()
    retired = f".precious.old-{host}-{ended.pid}.partial"
    (tmp_path / retired).mkdir()
    with atomic_directory(tmp_path / "target"):
        pass
    assert names(tmp_path) == sorted([living, elsewhere, "precious", "target"])
