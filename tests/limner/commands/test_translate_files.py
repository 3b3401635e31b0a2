"""Which files are translated, and what their outputs are called."""

from pathlib import Path

import pytest

from limner.commands.translate import Options, find_images, plan_output
from limner.core.util.errors import UserError


def test_every_photo_gets_a_name_of_its_own(tmp_path: Path) -> None:
    for name in ("a/one.jpg", "a/One.png", "b/one.jpg", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    given = (tmp_path / "a", tmp_path / "b", tmp_path / "b" / "notes.txt")
    photos = plan_output(find_images(given), Options(photos=given, out=tmp_path / "out"))
    assert [photo.target.name for photo in photos] == ["One.png", "one-2.png", "one-3.png", "notes.png"]
    assert len({photo.target.name.casefold() for photo in photos}) == len(photos)


def test_folders_and_hidden_files_are_no_images(tmp_path: Path) -> None:
    """Within the folder that is searched; the folder itself may be hidden."""
    searched = tmp_path / ".mine"
    for name in ("one.jpg", "._one.jpg", ".trash/two.jpg", "three.png/four.jpg"):
        (searched / name).parent.mkdir(parents=True, exist_ok=True)
        (searched / name).touch()
    assert [path.stem for path in find_images([searched])] == ["one", "four"]


def test_missing_paths_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.jpg: no such file or folder"):
        find_images([tmp_path / "gone.jpg"])
    with pytest.raises(UserError, match="has no images"):
        find_images([tmp_path])
