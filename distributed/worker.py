"""The composition root: what one worker builds and runs, the same under every launcher."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.core.bundle import load_bundle_config, load_generator
from limner.core.config import TrainConfig, require
from limner.core.networks.unet import STATISTICS
from limner.core.spec import RunSpec
from limner.core.training.checkpoint import list_checkpoints, load_newest
from limner.core.training.ema import Ema
from limner.core.training.loop import Extent, Loop
from limner.core.training.precision import MixedPrecision
from limner.core.training.state import TrainingState
from limner.core.training.step import Phase, TrainingStep, adam
from limner.core.util.errors import LimnerError, is_full_disk
from limner.data_pipeline.index import load_dataset
from limner.data_pipeline.loading import LoaderSpec, open_loader
from limner.data_pipeline.stream import steps_to_finish
from limner.distributed.context import WorkerContext, log
from limner.distributed.ddp import wrap
from limner.distributed.storage import Mirror
from limner.distributed.tasks import Task, build_task


def run_worker(spec: RunSpec, context: WorkerContext) -> bool:
    """Train from the newest checkpoint, if there is one, to the end; False if a stop was requested and saved.

    LimnerError for what one line explains, a full disk among it.
    """
    torch.set_num_threads(context.threads)
    dataset = load_dataset(spec.data)
    config = spec.config
    task = build_task(config, dataset, context.device)
    mirror = Mirror(spec.launch.storage, spec.run) if spec.launch.storage and context.rank == 0 else None
    saved = _newest_state(spec, context, mirror)
    if config.init_from and saved is None:  # a run that goes on has no need of the bundle any more
        _init_from(config.init_from, task, context)
    state = build_state(config, task, context)
    _restore(saved, spec, state, context)
    step_images = config.batch_size * config.accumulate * context.world
    steps = steps_to_finish(state.seen_images, config.epochs, len(task.records), step_images)
    loader = open_loader(
        spec.launch.loader,
        LoaderSpec(
            root=dataset.root,
            records=task.records,
            image_size=config.image_size,
            augment=config.augment,
            batch_size=config.batch_size,
            seed=config.seed,
            rank=context.rank,
            world=context.world,
            start=state.seen_images,
            device=context.device,
            threads=context.threads,
            cache=config.cache,
            paired=task.paired,
        ),
    )
    extent = Extent(len(task.records), step_images, state.seen_images + steps * step_images)
    loop = Loop(config, extent, spec.run, task.bundle, state, task.watcher, context)
    try:
        if mirror is not None and steps == 0:  # a run that ended before its last save was mirrored
            mirror.push()
        return loop.train(loader, after_save=mirror.push if mirror else None)
    except OSError as error:
        if not is_full_disk(error):
            raise
        kept = max((checkpoint.seen_images for checkpoint in list_checkpoints(spec.run / "checkpoints")), default=0)
        raise LimnerError(
            f"no space left in {spec.run}: free some and run the same command again to go on from image {kept}"
        ) from error
    finally:
        loop.close()


def build_state(config: TrainConfig, task: Task, context: WorkerContext) -> TrainingState:
    """The task's networks on the device, in the precision's layout, with optimizers, average and DDP around them."""
    precision = MixedPrecision(config.precision, context.device)
    factor = config.optimizer.discriminator_lr_factor
    phases = []
    ema = None
    networks = (("generator", task.generator, 1.0), ("discriminator", task.discriminator, factor))
    for name, network, lr_factor in networks:
        network.to(context.device, memory_format=precision.memory_format)  # type: ignore[call-overload]
        if name == "generator" and config.ema_halflife_images > 0.0:
            ema = Ema(network, config.ema_halflife_images)
        if config.compile:
            # What cannot be compiled (no C++ compiler, say) runs eagerly, and torch warns.
            torch._dynamo.config.suppress_errors = True
            network.compile()
        phases.append(Phase(name, network, wrap(network, context), adam(network, config.optimizer), lr_factor))
    context.say(
        f"{context.world} worker(s) on {context.device.type}, {context.threads} thread(s) each, {precision.name}, "
        f"global batch {config.batch_size * config.accumulate * context.world}"
    )
    step = TrainingStep(task.law, phases[0], phases[1], precision, ema)
    return TrainingState(step, context.device)


def _init_from(bundle: str, task: Task, context: WorkerContext) -> None:
    """Start from a bundle's generator, and from the discriminator of the run that the bundle lies in."""
    found = load_bundle_config(bundle)
    require(
        found.generator == task.bundle.generator,
        f"init-from {bundle}: its generator is {found.generator}, the run's {task.bundle.generator}: make them equal",
    )
    require(
        found.image_size == task.bundle.image_size or task.bundle.task != "dcgan",
        f"init-from {bundle}: it draws at image-size {found.image_size}, the run at {task.bundle.image_size}",
    )
    loaded = task.generator.load_state_dict(load_generator(bundle).state_dict(), strict=False)
    strangers = [*loaded.unexpected_keys, *(name for name in loaded.missing_keys if not name.endswith(STATISTICS))]
    assert not strangers, f"equal architectures with different weights: {strangers}"
    state, _ = load_newest(Path(bundle).parent / "checkpoints")
    trained = state["discriminator"] if state is not None else {}
    if _shapes(trained) == _shapes(task.discriminator.state_dict()):
        task.discriminator.load_state_dict(trained)
        return
    finding = "no checkpoints beside it" if state is None else "its run's discriminator has other layers"
    require(
        all(weight.requires_grad for weight in task.discriminator.parameters()),
        f"init-from {bundle}: {finding}, and discriminator frozen-stages would freeze random weights: set it to 0, or "
        "give the model/ of a run with this discriminator and its checkpoints",
    )
    context.say(f"{bundle}: {finding}, so the discriminator starts from random weights")


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
    """Put a checkpoint into the state; without one, seed each rank's random generators."""
    if saved is not None:
        try:
            state.load_state_dict(saved)
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:300]
            raise LimnerError(f"{spec.run}: its checkpoint does not fit this run's networks ({reason})") from error
        context.say(f"going on from image {state.seen_images}")
        if saved["precision"]["name"] != state.step.precision.name:
            context.say(f"precision was {saved['precision']['name']}, is {state.step.precision.name} on this machine")
        if len(saved["rng"]) == context.world:
            state.load_rng_state(saved["rng"][context.rank])
            return
        context.say(
            f"workers changed from {len(saved['rng'])} to {context.world}: the epoch goes on at the same image, none "
            "lost or repeated; dropout is drawn anew"
        )
    torch.manual_seed(_seed(spec.config.seed, context.rank, state.seen_images))


def _seed(*numbers: int) -> int:
    """One 63-bit seed from several numbers, so that neighbouring runs and ranks share no draws."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "big") >> 1
