"""The composition root: what one worker builds and runs, the same under every launcher."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.core.bundle import load_bundle_config, load_generator
from limner.core.config import TrainConfig, require
from limner.core.networks.generators import STATISTICS
from limner.core.spec import RunSpec
from limner.core.tasks import TASKS
from limner.core.tasks.task import DataFacts, Task, Validation, ValidationPlan
from limner.core.training.checkpoint import list_checkpoints, load_newest
from limner.core.training.ema import Ema
from limner.core.training.loop import Loop, RunLength, Score
from limner.core.training.model import Model
from limner.core.training.precision import MixedPrecision
from limner.core.training.state import TrainingState
from limner.core.training.step import TrainedNetwork, TrainingStep, adam
from limner.core.util.errors import LimnerError, is_full_disk
from limner.core.util.text import count_of
from limner.data_pipeline.index import Dataset, load_dataset
from limner.data_pipeline.loading import SampleStream, open_loader
from limner.data_pipeline.reference import read_pairs
from limner.data_pipeline.stream import steps_to_finish
from limner.distributed.context import WorkerContext, log
from limner.distributed.ddp import wrap
from limner.distributed.storage import Mirror


def run_worker(spec: RunSpec, context: WorkerContext) -> bool:
    """Train from the newest checkpoint, if there is one, to the end; False if a stop was requested and saved.

    LimnerError for what one line explains, a full disk included.
    """
    torch.set_num_threads(context.threads)
    task = TASKS[spec.task]
    config, dataset = resolve(task, spec.config, load_dataset(spec.data))
    model = build_model(task, config, dataset, context.device)
    records = dataset.split("train")
    mirror = Mirror(spec.launch.storage, spec.run) if spec.launch.storage and context.rank == 0 else None
    saved = _newest_state(spec, context, mirror)
    if config.init_from and saved is None:  # a resumed run does not need the bundle any more
        init_from(config.init_from, model, context)
    state = build_state(config, model, context)
    _restore(saved, spec, state, context)
    step_images = config.batch_size * config.accumulate * context.world_size
    steps = steps_to_finish(state.seen_images, config.epochs, len(records), step_images)
    loader = open_loader(
        spec.launch.loader,
        SampleStream(
            root=dataset.root,
            records=records,
            image_size=config.image_size,
            augment=config.augment,
            batch_size=config.batch_size,
            seed=config.seed,
            rank=context.rank,
            world_size=context.world_size,
            start=state.seen_images,
            device=context.device,
            threads=context.threads,
            cache=config.cache,
            paired=task.paired,
        ),
    )
    length = RunLength(len(records), step_images, state.seen_images + steps * step_images)
    loop = Loop(config, length, spec.run, model, state, context, best_by(task, config))
    try:
        if mirror is not None and steps == 0:  # a run that ended before its last save was mirrored
            mirror.push()
        return loop.train(loader, after_save=mirror.push if mirror else None)
    except OSError as error:
        if not is_full_disk(error):
            raise
        kept = max((checkpoint.seen_images for checkpoint in list_checkpoints(spec.run / "checkpoints")), default=0)
        raise LimnerError(
            f"no space left in {spec.run}: free some and run the same command again to resume from image {kept}"
        ) from error
    finally:
        loop.close()


def resolve(task: Task, config: TrainConfig, dataset: Dataset) -> tuple[TrainConfig, Dataset]:
    """The config with what follows from the data, and the data labelled as the config asks.

    UserError where they do not go together.
    """
    allowed = f"must be one of {', '.join(task.metrics)}"
    require(not config.keep_best or config.keep_best in task.metrics, f"keep-best {config.keep_best}: {allowed}")
    label = task.label(config)
    if label is not None:
        dataset = dataset.classified_by(label)
    return task.resolve(config, _facts(dataset)), dataset


def build_model(task: Task, config: TrainConfig, dataset: Dataset, device: torch.device) -> Model:
    """Build a task's networks and the rest for a config and a dataset that are resolved."""
    validation = _read_validation(task, task.validation(config), dataset, config.image_size)
    return task.build(config, _facts(dataset), validation, device)


def _facts(dataset: Dataset) -> DataFacts:
    return DataFacts(dataset.name, dataset.fit, dataset.styles)


def best_by(task: Task, config: TrainConfig) -> Score:
    """The score of a checkpoint: the metric that the config names, or the task's first."""
    name = config.keep_best or next(iter(task.metrics))
    sign = 1.0 if task.metrics[name].better == "lower" else -1.0
    return lambda metrics: sign * metrics[name] if name in metrics else None


def _read_validation(task: Task, plan: ValidationPlan, dataset: Dataset, image_size: int) -> Validation:
    split = next((name for name in plan.splits if dataset.splits.get(name)), plan.splits[-1])
    records = dataset.split(split)
    chosen = [records[number] for number in plan.choose([record.style for record in records])]
    if not task.paired:
        chosen = [replace(record, sketch=None) for record in chosen]
    batches = list(read_pairs(dataset.root, chosen, image_size, plan.batch_size))
    return Validation(batches, held_out=split != "train")


def build_state(config: TrainConfig, model: Model, context: WorkerContext) -> TrainingState:
    """Put the networks on the device, in the precision's layout, with optimizers, averages and DDP around them."""
    precision = MixedPrecision(config.precision, context.device)
    averaged = {name for name, _ in model.bundles.values()} if config.ema_halflife_images > 0.0 else set()
    networks: dict[str, TrainedNetwork] = {}
    averages: dict[str, Ema] = {}
    for name, network in model.networks.items():
        network.to(context.device, memory_format=precision.memory_format)  # type: ignore[call-overload]
        if name in averaged:
            averages[name] = Ema(network, config.ema_halflife_images)
        if config.compile:
            # What cannot be compiled (no C++ compiler, say) runs eagerly, and torch warns.
            torch._dynamo.config.suppress_errors = True
            network.compile()
        networks[name] = TrainedNetwork(network, wrap(network, context), adam(network, config.optimizer))
    workers, threads = count_of(context.world_size, "worker"), count_of(context.threads, "thread")
    context.log_rank0(
        f"{workers} on {context.device.type}, {threads} each, {precision.name}, "
        f"global batch {config.batch_size * config.accumulate * context.world_size}"
    )
    return TrainingState(TrainingStep(model.objective, networks, precision, averages), context.device)


def init_from(bundle: str, model: Model, context: WorkerContext) -> None:
    """Start from a bundle's generator, and from the other networks of the run that the bundle belongs to."""
    name, expected = next(iter(model.bundles.values()))
    found = load_bundle_config(bundle)
    require(
        found.generator == expected.generator,
        f"init-from {bundle}: its generator is {found.generator}, the run's {expected.generator}: make them equal",
    )
    generator, weights = model.networks[name], load_generator(bundle).state_dict()
    known = generator.state_dict()
    require(
        all(weight.shape == known[key].shape for key, weight in weights.items() if key in known),
        f"init-from {bundle}: it generates at image-size {found.image_size}, the run at {expected.image_size}",
    )
    loaded = generator.load_state_dict(weights, strict=False)
    missing = [key for key in loaded.missing_keys if not key.endswith(STATISTICS)]
    assert not loaded.unexpected_keys, f"equal architectures with different weights: {loaded.unexpected_keys}"
    assert not missing, f"equal architectures with different weights: {missing}"
    state, _ = load_newest(Path(bundle).parent / "checkpoints")
    for other, network in model.networks.items():
        if other == name:
            continue
        trained = state["networks"].get(other, {}) if state is not None else {}
        if _shapes(trained) == _shapes(network.state_dict()):
            network.load_state_dict(trained)
            continue
        finding = "no checkpoints next to it" if state is None else f"its run's {other} has other layers"
        require(
            all(weight.requires_grad for weight in network.parameters()),
            f"init-from {bundle}: {finding}, and {other} frozen-stages would freeze random weights: set it to 0, or "
            f"give the model/ of a run with this {other} and its checkpoints",
        )
        context.log_rank0(f"{bundle}: {finding}, so the {other} starts from random weights")


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}


def _newest_state(spec: RunSpec, context: WorkerContext, mirror: Mirror | None) -> dict[str, Any] | None:
    """The newest good checkpoint, on every rank; None where the run begins."""
    saved: dict[str, Any] | None = None
    if context.rank == 0:
        if mirror is not None:
            mirror.pull()
        saved, notes = load_newest(spec.run / "checkpoints")
        for note in notes:
            log.warning(note)
    newest: dict[str, Any] | None = context.broadcast(saved)
    return newest


def _restore(saved: dict[str, Any] | None, spec: RunSpec, state: TrainingState, context: WorkerContext) -> None:
    """Load a checkpoint into the state; without one, seed each rank's random generators."""
    if saved is not None:
        try:
            state.load_state_dict(saved)
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:300]
            raise LimnerError(f"{spec.run}: its checkpoint does not fit this run's networks ({reason})") from error
        context.log_rank0(f"resuming at image {state.seen_images}")
        before, now = saved["precision"]["name"], state.step.precision.name
        if before != now:
            context.log_rank0(f"precision was {before}, is {now} on this machine")
        if len(saved["rng"]) == context.world_size:
            state.load_rng_state(saved["rng"][context.rank])
            return
        context.log_rank0(
            f"workers changed from {len(saved['rng'])} to {context.world_size}: the epoch resumes at the same image, "
            "none lost or repeated; dropout uses new random numbers"
        )
    torch.manual_seed(_seed(spec.config.seed, context.rank, state.seen_images))


def _seed(*numbers: int) -> int:
    """One 63-bit seed from several numbers, so that neighbouring runs and ranks share no random numbers."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "big") >> 1
