import hashlib
from pathlib import Path

import pytest

from limner.core.util.files import replacing, sha256


def test_a_checksum_is_that_of_all_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000  # more than one piece
    (tmp_path / "file").write_bytes(data)
    assert sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def _fail_in_the_middle(aside: Path) -> None:
    aside.write_text("ne", encoding="utf-8")
    raise OSError("disk full")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(OSError, match="full"), replacing(path) as aside:
        _fail_in_the_middle(aside)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert path.read_text(encoding="utf-8") == "old"
    with replacing(path) as aside:
        aside.write_text("new", encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert path.read_text(encoding="utf-8") == "new"
