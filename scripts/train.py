"""Train a portrait GAN: `python scripts/train.py [pix2pix|dcgan] [--preset NAME] [--data DIR] [--run DIR]`.

The same command again resumes where it was stopped.
"""

import itertools
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from limner.core.config import LaunchConfig, TrainConfig, require
from limner.core.runs import default_run
from limner.core.spec import RunSpec
from limner.core.tasks import TASKS
from limner.core.util.cli import parse
from limner.core.util.errors import UserError, run_command
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic
from limner.data_pipeline.index import load_dataset
from limner.data_pipeline.stream import check_global_batch
from limner.distributed.worker import resolve as resolve_data

Config = TypeVar("Config", bound=TrainConfig)


@dataclass(frozen=True)
class Command(Generic[Config]):
    """Train a portrait GAN."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    launch: Annotated[LaunchConfig, tyro.conf.arg(name="")]
    preset: str = "demo"
    """The named run whose values the other options override."""
    dry_run: bool = False
    """Print the resolved run and stop; draws the built-in portraits if the run needs them and they are not there."""


BUILT_IN_COUNT = 400
"""Drawn portraits in the built-in dataset."""


def main() -> None:
    """Resolve the run once, then start its workers."""
    arguments = sys.argv[1:]
    task = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "pix2pix"
    if task not in TASKS:
        raise UserError(f"unknown task {task!r} (allowed: {', '.join(TASKS)})")
    preset = _preset_of(arguments)
    if preset not in TASKS[task].presets:
        raise UserError(f"unknown preset {preset!r} of {task} (allowed: {', '.join(TASKS[task].presets)})")
    kind: Any = Command[TASKS[task].config]  # type: ignore[misc]
    default = kind(TASKS[task].presets[preset].config, LaunchConfig(), preset)
    command = parse(kind, arguments, default=default)
    spec = resolve(task, under_torchrun(command))
    if command.dry_run:
        print(json.dumps(spec.to_json(), indent=2))
        return
    if spec.launch.launcher == "ray":
        from limner.distributed.ray_train import launch  # heavy to import, and not needed by the other launcher
    else:
        from limner.distributed.local import launch
    if os.environ.get("RANK", "0") != "0":  # one of torchrun's workers: the first speaks for all
        launch(spec)
        return
    print(f"{task} {preset}: {TASKS[task].presets[preset].promise}\nrun {spec.run}, data {spec.data}", flush=True)
    if launch(spec):
        print(f"done: model in {spec.run / 'model'}; look with: tensorboard --logdir {spec.run}")
    else:
        print("stopped and saved: the same command again resumes")


def under_torchrun(command: Command[TrainConfig]) -> Command[TrainConfig]:
    """The command with as many workers as torchrun, if it was that, has started."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return command
    require(command.launch.launcher == "local", "torchrun starts the workers itself: add --launcher local")
    return replace(command, launch=replace(command.launch, workers=int(os.environ["WORLD_SIZE"])))


def resolve(task: str, command: Command[TrainConfig]) -> RunSpec:
    """The whole run as one value, checked against its data before any worker starts."""
    config, launch = command.config, command.launch
    data = Path(config.data) if config.data else _built_in_data(config)
    config, dataset = resolve_data(TASKS[task], config, load_dataset(data))
    check_global_batch(config.batch_size, launch.workers, len(dataset.split("train")), config.accumulate)
    if config.init_from:
        config = replace(config, init_from=str(Path(config.init_from).absolute()))
    run = Path(launch.run) if launch.run else default_run(task, command.preset)
    return RunSpec(task, command.preset, config, launch, run.absolute(), data.absolute(), dataset.content_hash)


def _built_in_data(config: TrainConfig) -> Path:
    """Drawn portraits of the size that the run loads, drawn when they are first needed."""
    size = config.augment.resolved_load_size(config.image_size)
    data = Path("data") / f"built-in-{size}"
    import_synthetic(BUILT_IN_COUNT, data, PrepareOptions(size=size))
    return data


def _preset_of(arguments: list[str]) -> str:
    """The preset must be known before the other options, whose defaults it gives."""
    preset = "demo"
    for option, following in itertools.pairwise([*arguments, ""]):
        name, _, value = option.partition("=")
        if name == "--preset":
            preset = value or following  # the last counts, as with every option
    return preset


if __name__ == "__main__":
    run_command(main)
