"""Naming and finding what Limner leaves on disk: runs, their model bundles, engines."""

from pathlib import Path
from typing import Literal

from limner.core.util.errors import UserError
from limner.core.util.log import log

MODELS, RUNS, ENGINES = Path("models"), Path("runs"), Path("engines")
SHIPPED = Path(__file__).parents[1] / "models" / "portrait-sketch"
"""The bundle that comes with Limner: in the checkout, and in the installed package."""
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

    takes: only runs whose generator takes it count for the newest, which is logged; without any the shipped model is
    taken if it does. What is given may also be an engine or a name (see `places`); anything else is returned as it is.
    UserError if no run has a model, or the given one has none yet.
    """
    if given:
        directory = _model_in(Path(given))
        named = (place for place in places(directory) if (place / CONFIG).is_file() or (place / MANIFEST).is_file())
        return directory if directory.exists() else next(named, directory)
    bundles = (path.parent for path in RUNS.glob(f"*/{MODEL}/{CONFIG}"))
    found = [bundle for bundle in bundles if takes is None or _input_of(bundle) == takes]
    if not found and takes != "latent" and SHIPPED.is_dir():
        log.info(f"--model {SHIPPED.name} (comes with Limner; there is no model under {RUNS})")
        return SHIPPED
    kind, verb = KINDS[takes]
    return _newest(found, CONFIG, "--model", f"no trained model{kind} under {RUNS}: {verb}")


def places(given: Path | str) -> list[Path]:
    """Where a model or engine of this directory, run or bare name may lie, the first before the later ones."""
    given = Path(given)
    named = [MODELS / given, RUNS / given / MODEL, ENGINES / given, SHIPPED.parent / given]
    return [given, given / MODEL, *(named if len(given.parts) == 1 else [])]


def find_run(given: Path | str) -> Path:
    """The run directory `given`, or the run of this name under runs/; UserError if it is none, or has no model yet."""
    for place in (Path(given), RUNS / given):
        if (place / CHECKPOINTS).is_dir():
            return _model_in(place).parent
    raise UserError(f"{given}: no run with checkpoints: give its directory, or the name of one under {RUNS}")


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
