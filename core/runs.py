"""Naming and finding what Limner leaves on disk: runs, their model bundles, engines."""

from pathlib import Path
from typing import Literal

from limner.core.util.errors import UserError
from limner.core.util.log import log

RUNS, ENGINES = Path("runs"), Path("engines")
MODEL, CONFIG, CHECKPOINTS, MANIFEST = "model", "config.json", "checkpoints", "manifest.json"

Input = Literal["photo", "latent"]
KINDS: dict[Input | None, tuple[str, str]] = {
    None: ("", "limner train"),
    "photo": (" that takes photos", "limner train"),
    "latent": (" of portraits from noise", "limner train dcgan"),
}
"""What a generator takes -> how an error calls such a model, and the command that makes one."""


def default_run(task: str, preset: str) -> Path:
    """The run directory if none is named."""
    return RUNS / f"{task}-{preset}"


def find_model(given: Path | str | None, takes: Input | None = None) -> Path:
    """The bundle directory that `given` is, or that the run `given` holds; the newest run's if nothing is given.

    takes: only runs whose generator takes it count for the newest, which is logged. Anything else that is given is
    returned as it is: it may be an engine, or a name. UserError if no run has a model, or the given one has none yet.
    """
    if given:
        return _model_in(Path(given))
    bundles = (path.parent for path in RUNS.glob(f"*/{MODEL}/{CONFIG}"))
    found = [bundle for bundle in bundles if takes is None or _input_of(bundle) == takes]
    kind, verb = KINDS[takes]
    return _newest(found, CONFIG, "--model", f"no trained model{kind} under {RUNS}: {verb}")


def find_engine(given: Path | str | None) -> Path:
    """The engine directory `given`; if nothing is given the newest, which is logged. UserError if there is none."""
    if given:
        return Path(given)
    engines = [path.parent for path in ENGINES.glob(f"*/{MANIFEST}")]
    return _newest(engines, MANIFEST, "--engine", f"no engine under {ENGINES}: limner build")


def _model_in(given: Path) -> Path:
    if (given / MODEL / CONFIG).is_file():
        return given / MODEL
    if (given / CHECKPOINTS).is_dir():
        raise UserError(f"{given}: this run has no model yet: limner train makes it when it saves first")
    return given


def _input_of(bundle: Path) -> str | None:
    """What a bundle's generator takes; None if the bundle cannot be read."""
    from limner.core.bundle import load_bundle_config  # imports torch, which naming a run does not need

    try:
        return load_bundle_config(bundle).signature.inputs[0].name
    except UserError:
        return None


def _newest(directories: list[Path], mark: str, option: str, missing: str) -> Path:
    """The directory whose `mark` was written last."""
    if not directories:
        raise UserError(f"{missing} makes one, or name one with {option}")
    newest = max(directories, key=lambda directory: ((directory / mark).stat().st_mtime_ns, directory.name))
    log.info(f"{option} {newest} (the newest)")
    return newest
