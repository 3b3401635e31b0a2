"""`limner train --dry-run`: what a run would be, cost and take, found out without writing anything."""

import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from limner.core.batch import Batch
from limner.core.config import TrainConfig
from limner.core.spec import RunSpec, check_run_dir
from limner.core.tasks import TASKS
from limner.core.tasks.task import DataFacts, Validation
from limner.core.training.checkpoint import list_checkpoints
from limner.core.training.state import TrainingState
from limner.core.util.log import log
from limner.core.util.machine import free_disk_bytes, memory_bytes
from limner.data_pipeline.index import Dataset
from limner.data_pipeline.loading import SampleStream, choose_loader
from limner.data_pipeline.stream import steps_to_finish
from limner.distributed.context import WorkerContext, worker_threads
from limner.distributed.worker import build_state, init_from, resolve

TIMED_SECONDS, TIMED_STEPS = 4.0, 32
"""Budget of the timed steps: whichever is used up first, but two steps at least."""
WARM_UP_STEPS = 2


@dataclass(frozen=True)
class Measured:
    """What a few steps on generated images show."""

    precision: str
    step_seconds: float
    checkpoint_bytes: int
    model_bytes: int
    peak_memory_bytes: int | None
    """Of a worker; None where the system does not say."""


class _Alone(WorkerContext):
    """The only worker, which says nothing of itself."""

    def log_rank0(self, line: str) -> None:
        """Leave out the line: the report has it."""


def dry_run(spec: RunSpec, dataset: Dataset, data_exists: bool) -> dict[str, Any]:
    """The resolved run and its costs as plain JSON values; UserError for what the run itself would refuse."""
    resuming = check_run_dir(spec)
    launch, task = spec.launch, TASKS[spec.task]
    config, dataset = resolve(task, spec.config, dataset)
    loader, _ = choose_loader(launch.loader)
    records = dataset.split("train")
    device = torch.device("cuda" if launch.gpus_per_worker > 0.0 and torch.cuda.is_available() else "cpu")
    threads = worker_threads(launch, launch.workers)
    seen_images = max((saved.seen_images for saved in list_checkpoints(spec.run / "checkpoints")), default=0)
    stream = SampleStream(
        root=dataset.root,
        records=records,
        image_size=config.image_size,
        augment=config.augment,
        batch_size=config.batch_size,
        seed=config.seed,
        rank=0,
        world_size=launch.workers,
        start=seen_images,
        device=device,
        threads=threads,
        cache=config.cache,
        paired=task.paired,
    )
    step_images = config.batch_size * config.accumulate * launch.workers
    steps = steps_to_finish(seen_images, config.epochs, len(records), step_images)
    measured = measure_steps(spec, dataset, device, threads, resuming)
    notes = ["the time is that of the steps alone: starting, loading, validating and saving come on top"]
    if not data_exists:
        notes.append(f"{spec.data} is not there yet: the run would generate it first")
    if config.compile:
        notes.append("the steps were timed without torch.compile")
    if launch.workers > 1:
        notes.append("the steps were timed in one worker, without the exchange of gradients")
    return {
        **spec.to_json(),
        "data_hash": spec.data_hash or None,
        "run": {"directory": str(spec.run), "resumes_at_image": seen_images},
        "data": {
            "directory": str(spec.data),
            "exists": data_exists,
            "images": {name: len(rows) for name, rows in dataset.splits.items()},
            "styles": list(dataset.styles),
        },
        "resolved": {
            "device": device.type,
            "precision": measured.precision,
            "loader": loader,
            "workers": launch.workers,
            "threads_per_worker": threads,
            "load_size": stream.load_size,
            "global_batch": step_images,
            "steps": steps,
        },
        "time": {"step_ms": round(1000.0 * measured.step_seconds, 1), "total_s": round(steps * measured.step_seconds)},
        "memory_mb": _memory(stream, measured),
        "disk_mb": _disk(spec, measured),
        "notes": notes,
    }


def measure_steps(spec: RunSpec, dataset: Dataset, device: torch.device, threads: int, resuming: bool) -> Measured:
    """Build what a worker builds, but for compiling it, and take a few steps on generated images."""
    torch.set_num_threads(threads)
    task, config = TASKS[spec.task], replace(spec.config, compile=False)
    validation = Validation(
        [_generated(config, task.validation(config).batch_size, task.paired, device)], held_out=True
    )
    model = task.build(config, DataFacts(dataset.name, dataset.fit, dataset.styles), validation, device)
    context = _Alone(0, 1, device, threads, threading.Event(), lambda progress: None)
    if config.init_from and not resuming:
        init_from(config.init_from, model, context)
    state = build_state(config, model, context)
    batches = [_generated(config, config.batch_size, task.paired, device)] * config.accumulate
    log.info("timing steps on generated images")
    _take_steps(state, config, batches, WARM_UP_STEPS, seconds=0.0)
    steps, seconds = _take_steps(state, config, batches, TIMED_STEPS, TIMED_SECONDS)
    weights = {name: network.state_dict() for name, network in model.networks.items()}
    return Measured(
        precision=state.step.precision.name,
        step_seconds=seconds / steps,
        checkpoint_bytes=_tensor_bytes(state.state_dict([state.rng_state()])),
        model_bytes=sum(_tensor_bytes(weights[name]) for name, _ in model.bundles.values()),
        peak_memory_bytes=_peak_memory(device),
    )


def _take_steps(
    state: TrainingState, config: TrainConfig, batches: list[Batch], most: int, seconds: float
) -> tuple[int, float]:
    """Take up to `most` steps, two at least and none that begins after `seconds`; their number and time."""
    step_images = sum(map(len, batches))
    start = time.perf_counter()
    steps = 0
    while steps < 2 or (steps < most and time.perf_counter() - start < seconds):
        state.seen_images += step_images
        state.step(batches, state.seen_images, step_images, config.optimizer.lr)
        steps += 1
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)
    return steps, time.perf_counter() - start


def _generated(config: TrainConfig, count: int, paired: bool, device: torch.device) -> Batch:
    """A batch of noise, which takes as long as any other."""
    noise = torch.Generator().manual_seed(0)
    shape = (count, 3, config.image_size, config.image_size)
    photo, sketch = (torch.rand(shape, generator=noise).mul_(2.0).sub_(1.0).to(device) for _ in range(2))
    style = torch.zeros(count, dtype=torch.int64, device=device)
    return Batch(photo, sketch if paired else None, style, torch.arange(count))


def _memory(stream: SampleStream, measured: Measured) -> dict[str, int | None]:
    """Peak of a worker as measured, its image cache, and what is free, in MB."""
    files = 2 if stream.paired else 1
    cache = len(stream.records) * files * 3 * stream.load_size**2 if stream.cache else 0
    free = memory_bytes()
    peak = measured.peak_memory_bytes
    return {
        "worker_peak": None if peak is None else _mb(peak),
        "image_cache": _mb(cache),
        "free": None if free is None else _mb(free[1]),
    }


def _disk(spec: RunSpec, measured: Measured) -> dict[str, int]:
    """A save, all that a run keeps while it writes one more, and what is free, in MB."""
    checkpoints = spec.config.cadence.keep_checkpoints + 2  # the best, and the one that is being written
    needed = checkpoints * measured.checkpoint_bytes + 2 * measured.model_bytes
    return {
        "checkpoint": _mb(measured.checkpoint_bytes),
        "model": _mb(measured.model_bytes),
        "needed": _mb(needed),
        "free": _mb(free_disk_bytes(spec.run)),
    }


def _tensor_bytes(value: Any) -> int:
    """Bytes of all tensors in nested mappings and lists."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(map(_tensor_bytes, value.values()))
    return sum(map(_tensor_bytes, value)) if isinstance(value, list | tuple) else 0


def _peak_memory(device: torch.device) -> int | None:
    """The most memory that this process has had, on the GPU or of the machine."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _mb(count: int) -> int:
    """Megabytes, rounded up."""
    return -(-count // 1_000_000)
