"""Training step throughput, alone and fed by a loader, next to a baseline step: `limner bench train`.

Also `python benchmarks/train.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from limner.benchmarks.baseline_step import BaselineStep
from limner.benchmarks.environment import command_line, describe
from limner.benchmarks.harness import FULL, QUICK, fix_threads, loop, peak_memory, stopwatch
from limner.benchmarks.results import BenchOptions, Row, save
from limner.benchmarks.roofline import Limits, Workload, count_workload, measure_limits
from limner.benchmarks.training import build_worker_state, pix2pix_config, random_batch, synthetic_dataset
from limner.core.batch import Batch
from limner.core.config import LoaderKind, Precision
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.training.precision import has_fast_bf16
from limner.core.util.cli import parse
from limner.core.util.errors import UserError, run_command
from limner.core.util.timing import Candidate, Timing, time_interleaved
from limner.data_pipeline.index import Dataset
from limner.data_pipeline.loading import SampleStream, open_loader

LOOP_STEPS = 4
"""Steps in a timed region of a loop."""
WARM_UP_STEPS = 4
"""Untimed steps before it, which use up what the loader prefetched while others were timed."""


@dataclass(frozen=True)
class Command(BenchOptions):
    """Time training steps of the paper's networks next to a plain eager fp32 step."""

    width: int = 64
    """Channels in the first layer of both networks."""
    image_size: int = 256
    """Side of the images, in pixels."""
    batch: tuple[int, ...] = (1, 4)
    """Images per step."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
    """Of Limner's steps; the baseline step is fp32."""
    compile: bool = False
    """Also time steps with torch.compile; this takes minutes on a CPU."""
    loaders: tuple[LoaderKind, ...] = ("dali", "reference")
    """Loaders that feed a step in the fastest precision."""


@dataclass(frozen=True)
class Variant:
    """A training step to time: whose, in which precision, fed by what; or why it cannot run."""

    backend: str
    precision: Precision
    loader: LoaderKind | None = None
    """None: one fixed batch on the device."""
    note: str | None = None

    @property
    def scenario(self) -> str:
        """Name the scenario in rows."""
        return "step" if self.loader is None else f"fed by {self.loader}"


BASELINE = Variant("baseline", "fp32")


@dataclass(frozen=True)
class TrainingBench:
    """What all measurements of a run share."""

    command: Command
    dataset: Dataset
    device: torch.device
    threads: int
    limits: Limits
    workload: Workload
    """Of one image in Limner's step."""
    new_row: Callable[..., Row]
    """Makes a row of (backend, precision, batch, scenario)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every batch size and save the rows."""
    command = parse(Command, arguments, prog="limner bench train")
    if command.quick:
        command = replace(command, width=8, image_size=64, batch=command.batch[:1])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = fix_threads(command.threads)
    limits = measure_limits(device, command.quick)
    environment = describe(device, threads, command_line("train", arguments)) | {"limits": vars(limits)}
    subject = f"width {command.width}, {command.image_size} px, {threads} threads"
    with synthetic_dataset(command.image_size, 2 * max(command.batch) + 12) as dataset:
        config = pix2pix_config(command.width, command.image_size)
        workload = step_workload(config, dataset, device, threads)
        new_row = partial(Row, "train", subject, environment=environment)
        bench = TrainingBench(command, dataset, device, threads, limits, workload, new_row)
        save((row for batch in command.batch for row in measure_batch(bench, batch)), command, scale="batch")


def make_step(config: Pix2PixConfig, dataset: Dataset, device: torch.device, threads: int) -> Callable[[Batch], object]:
    """Make a function that takes a training step as a worker does."""
    state = build_worker_state(config, dataset, device, threads)

    def step(batch: Batch) -> object:
        state.seen_images += len(batch)
        return state.step([batch], state.seen_images, len(batch), config.optimizer.lr)

    return step


def step_workload(config: Pix2PixConfig, dataset: Dataset, device: torch.device, threads: int) -> Workload:
    """Count the operations of Limner's step on one image (43.7 GMAC at width 64, 256x256); all steps are held to it."""
    step, batch = make_step(config, dataset, device, threads), random_batch(config, 1, device)
    return Workload(count_workload(lambda: step(batch)).flop, 0.0)


def variants(command: Command, device: torch.device) -> list[Variant]:
    """List what to time, the baseline first."""
    fastest: Precision = "bf16" if has_fast_bf16(device) else "fp32"
    found = [BASELINE]
    for precision in command.precisions:
        note = None
        if precision == "bf16" and fastest != "bf16":
            note = "no hardware bf16"
        elif precision == "fp16" and device.type != "cuda":
            note = "fp16 trains on a GPU only"
        found.append(Variant("limner", precision, note=note))
        if command.compile:
            found.append(Variant("limner-compiled", precision, note=note))
    return found + [Variant("limner", fastest, loader) for loader in command.loaders]


def measure_batch(bench: TrainingBench, batch: int) -> list[Row]:
    """Time all variants, interleaved, at one batch size."""
    candidates: dict[Variant, Candidate] = {}
    memory: dict[Variant, float | None] = {}
    compared = variants(bench.command, bench.device)
    notes = {variant: variant.note for variant in compared if variant.note is not None}
    for variant in compared:
        if variant in notes:
            continue
        try:
            with peak_memory(bench.device) as used:
                run = make_run(bench, variant, batch)
                run()
        except UserError as error:
            notes[variant] = str(error)
            continue
        candidates[variant] = Candidate(run) if variant.loader is None else loop(run, LOOP_STEPS, WARM_UP_STEPS)
        memory[variant] = used.peak_mib
    print(f"train, batch {batch}: {len(candidates)} steps, interleaved", flush=True)
    budget = QUICK if bench.command.quick else FULL
    measured = time_interleaved(candidates, budget, stopwatch=stopwatch(bench.device))
    timings = {
        variant: timing.per_run(1 if variant.loader is None else LOOP_STEPS) for variant, timing in measured.items()
    }
    rows = []
    for variant in compared:
        row = bench.new_row(variant.backend, variant.precision, batch, variant.scenario)
        if variant in notes:
            rows.append(replace(row, note=notes[variant]))
        else:
            rows.append(fill_in(bench, row, batch, variant, timings, memory[variant]))
    return rows


def make_run(bench: TrainingBench, variant: Variant, batch: int) -> Callable[[], object]:
    """Make a function that takes one step of a variant, on a fixed batch or on its loader's next."""
    size = bench.command.image_size
    compiled = variant.backend.endswith("compiled")
    config = pix2pix_config(bench.command.width, size, batch, variant.precision, compiled)
    fixed = random_batch(config, batch, bench.device)
    if variant == BASELINE:
        baseline = BaselineStep(config, bench.device)
        return lambda: baseline(fixed)
    step = make_step(config, bench.dataset, bench.device, bench.threads)
    if variant.loader is None:
        return lambda: step(fixed)
    batches = open_batches(bench, variant.loader, config)
    return lambda: step(next(batches))


def open_batches(bench: TrainingBench, loader: LoaderKind, config: Pix2PixConfig) -> Iterator[Batch]:
    """Open a loader as a worker of a run of `config` does."""
    stream = SampleStream(
        root=bench.dataset.root,
        records=bench.dataset.split("train"),
        image_size=config.image_size,
        augment=config.augment,
        batch_size=config.batch_size,
        seed=0,
        rank=0,
        world_size=1,
        start=0,
        device=bench.device,
        threads=bench.threads,
        cache=False,
        paired=True,
    )
    return open_loader(loader, stream)


def fill_in(
    bench: TrainingBench,
    row: Row,
    batch: int,
    variant: Variant,
    timings: dict[Variant, Timing],
    memory: float | None,
) -> Row:
    """Fill in the row's figures; for a loop also the loader's cost over the same step alone, as a fraction."""
    timing = timings[variant]
    workload = Workload(bench.workload.flop * batch, 0.0)
    seconds = timing.percentile(50) / 1000.0
    details = {"gflop_per_s": workload.flop / seconds / 1e9}
    step_alone = timings.get(replace(variant, loader=None))
    if variant.loader is not None and step_alone is not None:
        cost = step_alone.speedup_over(timing)  # the loop's time over the step's, repeat by repeat
        details |= {"loader_cost": cost.median - 1.0, "loader_cost_low": cost.low - 1.0}
        details |= {"loader_cost_high": cost.high - 1.0}
    return row.with_timing(
        timing,
        batch,
        timing.speedup_over(timings[BASELINE]),
        share_of_limit=bench.limits.roofline_fraction(workload, seconds, variant.precision),
        peak_memory_mib=memory,
        details=details,
    )


if __name__ == "__main__":
    run_command(main)
