"""`limner train`: resolve a run once, then start its workers. The same command again resumes it."""

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import tyro

from limner.core.config import LaunchConfig, TrainConfig, require
from limner.core.runs import MODEL, default_run
from limner.core.tasks import TASKS
from limner.core.util.cli import HELP, HELP_ALL, parse
from limner.core.util.errors import UserError
from limner.core.util.log import log, show_log
from limner.core.util.options import last_value, options_of
from limner.core.util.text import did_you_mean, two_columns

if TYPE_CHECKING:
    from limner.core.spec import RunSpec
    from limner.data_pipeline.index import Dataset

Config = TypeVar("Config", bound=TrainConfig)

FIRST_OPTIONS = (
    *("--data", "--run", "--preset", "--epochs", "--batch-size", "--image-size", "--precision", "--workers"),
    *("--resume", "--dry-run"),
)
"""What people use first, and --help shows."""


@dataclass(frozen=True)
class Command(Generic[Config]):
    """Train a portrait GAN; the same command again resumes where it was stopped."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    launch: Annotated[LaunchConfig, tyro.conf.arg(name="")]
    preset: str = "demo"
    """The named run whose values the other options override."""
    dry_run: bool = False
    """Print as JSON what the run would be, cost and take, and stop; nothing is written."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Resolve the run, then train it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    task = given.pop(0) if given and not given[0].startswith("-") else "pix2pix"
    if task not in TASKS:
        raise UserError(f"unknown task {task!r}{did_you_mean(task, TASKS)} (allowed: {', '.join(TASKS)})")
    name, presets = last_value(given, "--preset") or "demo", TASKS[task].presets
    if name not in presets:
        near = did_you_mean(name, presets)
        raise UserError(f"unknown preset {name!r} of {task}{near} (allowed: {', '.join(presets)})")
    kind: Any = Command[TASKS[task].config]  # type: ignore[misc]
    default = kind(presets[name].config, LaunchConfig(), name)
    if any(option in given for option in HELP):
        print(first_help(task, default))
        return
    command = under_torchrun(parse(kind, given, default, prog=f"limner train {task}"))
    if command.dry_run:
        show_log("stderr")
        print(json.dumps(plan(task, command), indent=2))
        return
    launch = find_launcher(command.launch)  # before any data is made: it may need what is not installed
    spec = resolve(task, command, find_data(command.config))
    if os.environ.get("RANK", "0") != "0":  # one of torchrun's workers: the first speaks for all
        log.setLevel(logging.WARNING)
    log.info(f"{task}, preset {name}: run {_short(spec.run)}, data {_short(spec.data)}")
    log.info(summary(spec) if launch(spec) else "stopped and saved: the same command again resumes")


def summary(spec: "RunSpec") -> str:
    """Where the results of a finished run are, and the next three commands."""
    from limner.core.bundle import load_bundle_config

    run, grids = _short(spec.run), sorted((spec.run / "samples").glob("*.png"))
    lines = [f"done: model in {_short(spec.run / MODEL)}", *(f"samples: {_short(grid)}" for grid in grids[-1:])]
    if (spec.run / MODEL).is_dir():  # else it was trained on another machine
        config = load_bundle_config(spec.run / MODEL)
        takes_photos = config.signature.inputs[0].name == "photo"
        style = f" --style {config.styles[0]}" if takes_photos and config.styles else ""
        lines.append(f"next: limner {'translate PHOTO' if takes_photos else 'sample'} --model {run}{style}")
        lines.append(f"      limner evaluate --model {run} --data {_short(spec.data)}")
        lines.append(f"      limner build --model {run}")
    return "\n".join(lines)


def _short(path: Path) -> Path:
    """The path as a user in this directory would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def first_help(task: str, default: Command[TrainConfig]) -> str:
    """The help that fits on a screen: tasks, presets, and the options that people use first."""
    options = {option.name: option for option in options_of(Command, default)}
    rows = [(options[name].usage, options[name].description_with_default) for name in FIRST_OPTIONS]
    presets = [(name, preset.promise) for name, preset in TASKS[task].presets.items()]
    parts = [
        f"usage: limner train [{'|'.join(TASKS)}] [--preset {'|'.join(TASKS[task].presets)}] [OPTIONS]",
        str(Command.__doc__),
        f"presets of {task}:\n{two_columns(presets)}",
        f"options that people use first:\n{two_columns(rows)}",
        f"limner train {task} {HELP_ALL} lists every option.",
    ]
    return "\n\n".join(parts)


def find_launcher(launch: LaunchConfig) -> "Callable[[RunSpec], bool]":
    """The function that starts the run's workers; both are heavy to import."""
    if launch.launcher == "ray":
        from limner.distributed import ray_train

        return ray_train.launch
    from limner.distributed import local

    return local.launch


def under_torchrun(command: Command[TrainConfig]) -> Command[TrainConfig]:
    """The command with as many workers as torchrun, if it was that, has started."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return command
    require(command.launch.launcher == "local", "torchrun starts the workers itself: add --launcher local")
    return replace(command, launch=replace(command.launch, workers=int(os.environ["WORLD_SIZE"])))


def plan(task: str, command: Command[TrainConfig]) -> dict[str, Any]:
    """What the run would be, as `--dry-run` prints it; the built-in data is described, not made."""
    from limner.commands.dry_run import dry_run
    from limner.data_pipeline.importers.synthetic import plan_built_in
    from limner.data_pipeline.index import MANIFEST, load_dataset

    data, size = data_directory(command.config)
    exists = bool(command.config.data) or (data / MANIFEST).is_file()
    dataset = load_dataset(data) if exists else plan_built_in(data, size)
    return dry_run(resolve(task, command, dataset), dataset, exists)


def resolve(task: str, command: Command[TrainConfig], dataset: "Dataset") -> "RunSpec":
    """The whole run as one value, checked against its data before any worker starts."""
    from limner.core.bundle import bundle_hash
    from limner.core.spec import RunSpec
    from limner.data_pipeline.stream import check_global_batch
    from limner.distributed import worker

    launch = command.launch
    config, dataset = worker.resolve(TASKS[task], command.config, dataset)
    check_global_batch(config.batch_size, launch.workers, len(dataset.split("train")), config.accumulate)
    if config.init_from:
        config = replace(config, init_from=str(Path(config.init_from).absolute()))
    run = Path(launch.run) if launch.run else default_run(task, command.preset)
    data = dataset.root.absolute()
    teacher_hash = bundle_hash(config.teacher) if config.teacher else ""
    return RunSpec(task, command.preset, config, launch, run.absolute(), data, dataset.content_hash, teacher_hash)


def find_data(config: TrainConfig) -> "Dataset":
    """The dataset of the run; the built-in one is made when it is first needed."""
    from limner.data_pipeline.importers.synthetic import prepare_built_in
    from limner.data_pipeline.index import load_dataset

    data, size = data_directory(config)
    if not config.data:
        prepare_built_in(data, size)
    return load_dataset(data)


def data_directory(config: TrainConfig) -> tuple[Path, int]:
    """The dataset directory that the run reads, and the side in pixels to which it loads images."""
    size = config.augment.resolved_load_size(config.image_size)
    return Path(config.data or f"data/built-in-{size}"), size
