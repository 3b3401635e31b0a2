"""Checkpoints that survive a crash: written to a temporary directory, synced, renamed; checksummed; loaded strictly.

A checkpoint is a directory named by the images seen, with state.pt and manifest.json (its commit mark).
"""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from limner.core.training.state import upgrade
from limner.core.util.errors import LimnerError
from limner.core.util.files import atomic_directory, sha256, sync_directory

STATE, MANIFEST = "state.pt", "manifest.json"
FORMAT = 2
"""Format 1, of versions before there were tasks with any number of networks, is read too."""
_DAMAGE = (OSError, ValueError, KeyError, TypeError, RuntimeError)
"""What reading a damaged checkpoint raises."""


@dataclass(frozen=True)
class Checkpoint:
    """A committed checkpoint on disk."""

    directory: Path
    seen_images: int
    score: float | None
    """Of the validation at that time, lower is better; None if there was none."""


def save_checkpoint(root: Path, state: dict[str, Any], seen_images: int, score: float | None, keep: int) -> Path:
    """Write `state` as root/SEEN and return that directory; then drop all but the `keep` newest and the best.

    Checkpoints of more images are dropped too: the run was rolled back to before them. Nothing older is touched before
    the new one is complete. OSError (a full disk) leaves the older ones as they were.
    """
    final = root / f"{seen_images:010d}"
    try:
        with atomic_directory(final) as tmp_path:  # the same images again, after a rollback, replace the older ones
            _write(tmp_path, state, seen_images, score)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None  # torch's archive writer hides why it could not write
        raise
    sync_directory(root)
    for path in root.glob("[0-9]*"):
        if path.name > final.name:
            _remove(path)
    _prune(root, keep)
    return final


def _write(directory: Path, state: dict[str, Any], seen_images: int, score: float | None) -> None:
    """The files of a checkpoint, synced; the manifest, which commits it, comes last."""
    with (directory / STATE).open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    manifest = {
        "format": FORMAT,
        "seen_images": seen_images,
        "score": score,
        "files": {STATE: {"bytes": (directory / STATE).stat().st_size, "sha256": sha256(directory / STATE)}},
    }
    with (directory / MANIFEST).open("w", encoding="utf-8") as text:
        json.dump(manifest, text, indent=2)
        text.flush()
        os.fsync(text.fileno())


def list_checkpoints(root: Path) -> list[Checkpoint]:
    """Committed checkpoints, oldest first; directories without a readable manifest are not counted."""
    found = []
    for path in sorted(root.glob("[0-9]*")) if root.is_dir() else []:
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            found.append(Checkpoint(path, int(manifest["seen_images"]), manifest["score"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def is_intact(directory: Path) -> bool:
    """Whether a checkpoint is as it was saved."""
    try:
        _verify(directory)
    except _DAMAGE:
        return False
    return True


def load_newest(root: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest undamaged state, or None if there is no checkpoint; and a line for each damaged one passed over.

    LimnerError if there are checkpoints and all are damaged: to start again silently would lose the run.
    """
    notes: list[str] = []
    names = sorted((path for path in root.glob("[0-9]*")), reverse=True) if root.is_dir() else []
    for path in names:
        try:
            return _load(path), notes
        except _DAMAGE as error:
            notes.append(f"checkpoint {path.name} is damaged ({error}); falling back to the one before")
    if names:
        raise LimnerError(f"{root}: all {len(names)} checkpoints are damaged: remove the directory to start again")
    return None, notes


def load_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """The state of one checkpoint; LimnerError if it is damaged."""
    try:
        return _load(checkpoint.directory)
    except _DAMAGE as error:
        raise LimnerError(f"{checkpoint.directory} is damaged ({error}): choose another checkpoint") from error


def _load(path: Path) -> dict[str, Any]:
    found = _verify(path)
    state: dict[str, Any] = torch.load(path / STATE, map_location="cpu", weights_only=True)
    return upgrade(state) if found == 1 else state


def _verify(path: Path) -> int:
    """The format of an intact checkpoint."""
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    found = int(manifest["format"])
    if not 1 <= found <= FORMAT:
        raise ValueError(f"format {found}, this version reads up to {FORMAT}")
    expected = manifest["files"][STATE]
    if (path / STATE).stat().st_size != expected["bytes"] or sha256(path / STATE) != expected["sha256"]:
        raise ValueError(f"{STATE} does not match its checksum")
    return found


def find_best(checkpoints: Iterable[Checkpoint]) -> Checkpoint | None:
    """The checkpoint of the lowest score, the first of equal ones; None if none has a score."""
    scored = [checkpoint for checkpoint in checkpoints if checkpoint.score is not None]
    return min(scored, key=lambda checkpoint: checkpoint.score or 0.0, default=None)


def _prune(root: Path, keep: int) -> None:
    checkpoints = list_checkpoints(root)
    best = find_best(checkpoints)
    for checkpoint in checkpoints[:-keep]:
        if checkpoint != best:
            _remove(checkpoint.directory)


def _remove(directory: Path) -> None:
    """The manifest goes first: what is left by a crash in between is no checkpoint any more."""
    (directory / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(directory)
