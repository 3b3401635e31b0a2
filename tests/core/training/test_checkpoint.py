import json
import os
import socket
from pathlib import Path

import pytest
import torch

from limner.core.training.checkpoint import MANIFEST, STATE, list_checkpoints, load_newest, save_checkpoint
from limner.core.util.errors import LimnerError


def save(root: Path, seen: int, score: float | None = None, keep: int = 3) -> Path:
    return save_checkpoint(root, {"weights": torch.full((4,), float(seen)), "seen_images": seen}, seen, score, keep)


def seen(root: Path) -> list[int]:
    return [checkpoint.seen_images for checkpoint in list_checkpoints(root)]


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    save(tmp_path, 10)
    state, notes = load_newest(tmp_path)
    assert state is not None
    assert notes == []
    assert torch.equal(state["weights"], torch.full((4,), 10.0))


def test_nothing_saved_is_nothing_to_load(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "none") == (None, [])


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    for number, score in ((1, 0.5), (2, 0.1), (3, 0.3), (4, None), (5, 0.4)):
        save(tmp_path, number, score, keep=2)
    assert seen(tmp_path) == [2, 4, 5]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no state", "no manifest", "other format"])
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    content = bytearray((newest / STATE).read_bytes())
    if damage == "truncated":
        (newest / STATE).write_bytes(content[:-1])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        (newest / STATE).write_bytes(content)
    elif damage == "no state":
        (newest / STATE).unlink()
    elif damage == "no manifest":
        (newest / MANIFEST).unlink()
    else:
        manifest = json.loads((newest / MANIFEST).read_text())
        (newest / MANIFEST).write_text(json.dumps(manifest | {"format": 99}))
    state, notes = load_newest(tmp_path)
    assert state is not None
    assert state["seen_images"] == 1
    assert len(notes) == 1
    assert "0000000002 is damaged" in notes[0]
    assert "falling back to the one before" in notes[0]


def test_all_damaged_is_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    (save(tmp_path, 1) / STATE).write_bytes(b"")
    with pytest.raises(LimnerError, match="all 1 checkpoints are damaged"):
        load_newest(tmp_path)


def test_a_full_disk_leaves_the_older_checkpoint_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["0000000001"]
    assert load_newest(tmp_path)[1] == []


def test_what_a_crash_left_aside_is_ignored_and_swept_up(tmp_path: Path) -> None:
    save(tmp_path, 1)
    partial = tmp_path / f".0000000002.{socket.gethostname()}-{os.getpid()}.partial"
    partial.mkdir()
    (partial / STATE).write_bytes(b"half")
    assert seen(tmp_path) == [1]
    save(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000000001", "0000000002"]


def test_saving_the_same_image_count_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save_checkpoint(tmp_path, {"seen_images": 1, "again": True}, 1, None, keep=2)
    state, _ = load_newest(tmp_path)
    assert state is not None
    assert state["again"]


@pytest.mark.parametrize("keep", [1, 2])
def test_after_a_fall_back_the_new_one_stays_and_those_beyond_it_go(tmp_path: Path, keep: int) -> None:
    for number in (10, 20, 30, 40):
        save(tmp_path, number, score=0.1, keep=4)
    for number in (20, 30):
        (tmp_path / f"{number:010d}" / STATE).write_bytes(b"rubbish")
    (tmp_path / f"{40:010d}" / MANIFEST).unlink()
    save(tmp_path, 15, score=0.2, keep=keep)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["0000000010", "0000000015"]
    state, notes = load_newest(tmp_path)
    assert state is not None
    assert state["seen_images"] == 15
    assert notes == []


def test_loading_never_unpickles_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.system, ("true",))

    with pytest.raises(Exception, match="Weights only load failed"):
        load_newest(save_checkpoint(tmp_path, {"trap": Trap()}, 1, None, keep=1).parent)
