"""Naming and finding what Limner leaves on disk: runs, their model bundles, engines."""

import json
from pathlib import Path

from limner.core.util.errors import UserError
from limner.core.util.log import log

RUNS, ENGINES = Path("runs"), Path("engines")
MODEL, CONFIG, CHECKPOINTS, MANIFEST = "model", "config.json", "checkpoints", "manifest.json"


def default_run(task: str, preset: str) -> Path:
    """The run directory if none is named."""
    return RUNS / f"{task}-{preset}"


def find_model(given: Path | str | None, task: str | None = None) -> Path:
    """The bundle directory that `given` is, or that the run `given` holds; the newest run's if nothing is given.

    task: only its runs count for the newest, which is logged. Anything else that is given is returned as it is: it may
    be an engine. UserError if no run has a model, or the given one has none yet.
    """
    if given:
        return _model_in(Path(given))
    bundles = (path.parent for path in RUNS.glob(f"*/{MODEL}/{CONFIG}"))
    found = [bundle for bundle in bundles if task in (None, _task_of(bundle / CONFIG))]
    verb = f"limner train {task}" if task else "limner train"
    return _newest(found, CONFIG, "--model", task, f"no trained {task or ''} model under {RUNS}: {verb}")


def find_engine(given: Path | str | None, task: str | None = None) -> Path:
    """The engine directory `given`; the newest one if nothing is given.

    task: only its engines count for the newest, which is logged. UserError if there is none.
    """
    if given:
        return Path(given)
    engines = (path.parent for path in ENGINES.glob(f"*/{MANIFEST}"))
    found = [engine for engine in engines if task in (None, _task_of(engine / MANIFEST))]
    return _newest(found, MANIFEST, "--engine", task, f"no {task or ''} engine under {ENGINES}: limner build")


def _model_in(given: Path) -> Path:
    if (given / MODEL / CONFIG).is_file():
        return given / MODEL
    if (given / CHECKPOINTS).is_dir():
        raise UserError(f"{given}: this run has no model yet: limner train makes it when it saves first")
    return given


def _task_of(path: Path) -> str | None:
    """The task in a bundle's config.json or an engine's manifest.json; None if the file is damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return str(values.get("source", values)["task"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _newest(directories: list[Path], mark: str, option: str, task: str | None, missing: str) -> Path:
    """The directory whose `mark` was written last."""
    if not directories:
        raise UserError(f"{' '.join(missing.split())} makes one, or name one with {option}")
    newest = max(directories, key=lambda directory: ((directory / mark).stat().st_mtime_ns, directory.name))
    log.info(f"{option} {newest} (the newest{f' of {task}' if task else ''})")
    return newest
