"""A whole run as one value: what is trained, on which data, where; its config.json, and what may change on resume."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limner.core.config import LaunchConfig, TrainConfig, flatten, to_dict
from limner.core.training.checkpoint import list_checkpoints
from limner.core.util.errors import UserError
from limner.core.util.files import atomic_write

CONFIG = "config.json"


@dataclass(frozen=True)
class RunSpec:
    """Resolved once by the command; workers read nothing else. Paths are absolute: workers run elsewhere."""

    task: str
    preset: str
    config: TrainConfig
    launch: LaunchConfig
    run: Path
    data: Path
    data_hash: str
    """Content hash of the dataset, which identifies it under any path."""
    teacher_hash: str = ""
    """The same of the config's teacher; empty: it has none."""

    def to_json(self) -> dict[str, Any]:
        """The content of config.json."""
        return {
            "task": self.task,
            "preset": self.preset,
            "config": to_dict(self.config),
            "launch": to_dict(self.launch),
            "data_hash": self.data_hash,
            "teacher_hash": self.teacher_hash,
        }


def prepare_run_dir(spec: RunSpec) -> bool:
    """Write config.json into the run directory, or check that the one there allows to resume.

    Returns whether there is a checkpoint to resume from. UserError, with nothing written, for what `check_run_dir`
    refuses.
    """
    resuming = check_run_dir(spec)
    spec.run.mkdir(parents=True, exist_ok=True)
    with atomic_write(spec.run / CONFIG) as tmp_path:
        tmp_path.write_text(json.dumps(spec.to_json(), indent=2) + "\n", encoding="utf-8")
    return resuming


def check_run_dir(spec: RunSpec) -> bool:
    """Return whether the run directory has a checkpoint to resume from.

    UserError if the directory belongs to another config, is something else, or has a checkpoint under
    `--resume never`.
    """
    path = spec.run / CONFIG
    if spec.run.exists() and not path.exists() and not (spec.run.is_dir() and not any(spec.run.iterdir())):
        raise UserError(f"{spec.run}: exists and is no run directory (no {CONFIG}): give another --run")
    started = any((spec.run / "checkpoints").glob("[0-9]*"))  # before that a wrong value may still be corrected
    if started:
        check_resumable(spec, path.read_text(encoding="utf-8"), path)
    resuming = bool(list_checkpoints(spec.run / "checkpoints"))
    if resuming and spec.launch.resume == "never":
        raise UserError(f"{spec.run}: has checkpoints and --resume is never: give another --run, or --resume auto")
    return resuming


def check_resumable(spec: RunSpec, stored: str, source: object) -> None:
    """UserError naming the first field of a stored config.json, the text of `source`, that differs and may not.

    `launch` and the paths of the data and of a teacher may. A field that the run's version did not have yet counts as
    having its default.
    """
    try:
        before = json.loads(stored)
        old, new = flatten(before["config"]), flatten(to_dict(spec.config))
        old |= {"task": before["task"]}
        content, teacher = before["data_hash"], before.get("teacher_hash", "")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{source}: damaged ({error}): give another --run") from error
    old = flatten(to_dict(type(spec.config)())) | old
    new |= {"task": spec.task}
    free = {"data"} if spec.config.optimizer.lr_decay_epochs else {"data", "epochs"}
    if teacher and spec.teacher_hash:
        free.add("distill_from")
    for name in sorted(old.keys() | new.keys()):
        if name in free or old.get(name) == new.get(name):
            continue
        why = "the learning rate's decay depends on it; " if name == "epochs" else ""
        raise UserError(
            f"{source}: was started with {name} {old.get(name)!r}, not {new.get(name)!r}: {why}"
            "use the same value to resume, or another --run to start over"
        )
    if content != spec.data_hash:
        raise UserError(
            f"{source}: was started with another dataset than {spec.data} (content {content}, not {spec.data_hash}): "
            "give the same --data to resume, or another --run to start over"
        )
    if teacher != spec.teacher_hash:
        raise UserError(
            f"{source}: was started with another teacher than {spec.config.teacher} (content {teacher}, not "
            f"{spec.teacher_hash}): give the same --distill-from to resume, or another --run to start over"
        )
