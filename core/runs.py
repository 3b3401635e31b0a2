"""Naming and finding what Limner leaves on disk: runs, their model bundles, engines."""

from pathlib import Path

from limner.core.util.errors import UserError

RUNS, ENGINES = Path("runs"), Path("engines")
MODEL, MODEL_CONFIG, ENGINE_MANIFEST = "model", "config.json", "manifest.json"


def default_run(task: str, preset: str) -> Path:
    """The run directory where none is named."""
    return RUNS / f"{task}-{preset}"


def find_model(given: str) -> Path:
    """The bundle directory `given`, or the newest run's where that is empty, which is then said.

    UserError where there is none to take.
    """
    if given:
        return Path(given)
    bundles = [path.parent for path in RUNS.glob(f"*/{MODEL}/{MODEL_CONFIG}")]
    return _newest(bundles, MODEL_CONFIG, "--model", f"no trained model under {RUNS}: python scripts/train.py")


def find_engine(given: str) -> Path:
    """The engine directory `given`, or the newest where that is empty, which is then said.

    UserError where there is none to take.
    """
    if given:
        return Path(given)
    engines = [path.parent for path in ENGINES.glob(f"*/{ENGINE_MANIFEST}")]
    missing = f"no engine under {ENGINES}: python deploy/trt/build_engine.py"
    return _newest(engines, ENGINE_MANIFEST, "--engine", missing)


def _newest(directories: list[Path], mark: str, option: str, missing: str) -> Path:
    """The directory whose `mark` was written last."""
    if not directories:
        raise UserError(f"{missing} makes one, or name one with {option}")
    newest = max(directories, key=lambda directory: ((directory / mark).stat().st_mtime_ns, directory.name))
    print(f"{option} {newest} (the newest)", flush=True)
    return newest
