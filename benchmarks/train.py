"""How fast a Pix2Pix step is, alone and fed by a loader, against a plain one: `python benchmarks/train.py`."""

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from limner.benchmarks.environment import describe
from limner.benchmarks.harness import FULL, QUICK, Candidate, Timing, fix_threads, measure, peak_memory, stretch
from limner.benchmarks.plain import PlainStep
from limner.benchmarks.results import Options, Row, save
from limner.benchmarks.roofline import Limits, Work, count_work, measure_limits
from limner.core.batch import Batch
from limner.core.config import AugmentConfig, LoaderKind, Precision
from limner.core.networks.config import PatchGANConfig, UNetConfig
from limner.core.tasks import TASKS
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.training.precision import has_fast_bf16
from limner.core.util.cli import parse
from limner.core.util.errors import UserError, run_command
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic
from limner.data_pipeline.index import Dataset, load_dataset
from limner.data_pipeline.loading import SampleStream, open_loader
from limner.distributed.context import WorkerContext
from limner.distributed.worker import build_model, build_state, resolve

BASELINE = "plain"
LOOP_STEPS = 4
"""Steps in a timed region of a loop, after LEAD_STEPS that use up what the loader has prepared in others' turns."""
LEAD_STEPS = 4
Step = Callable[[Batch], object]


@dataclass(frozen=True)
class Command(Options):
    """Time training steps of the paper's networks, each beside a plain eager fp32 step in the same run."""

    width: int = 64
    """Of both networks."""
    image_size: int = 256
    batch: tuple[int, ...] = (1, 4)
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
    compile: bool = False
    """Also steps whose networks torch.compile made; this takes minutes on a CPU."""
    loaders: tuple[LoaderKind, ...] = ("dali", "reference")
    """Loaders to feed a step by, in the fastest precision."""


@dataclass(frozen=True)
class Bench:
    """What all measurements of a run share."""

    command: Command
    dataset: Dataset
    device: torch.device
    threads: int
    limits: Limits
    work: Work
    """Of one image in Limner's step."""
    row: Row
    """With everything but figures."""


@dataclass(frozen=True)
class Case:
    """A step to time: how it is fed and made, or why it cannot be had."""

    backend: str
    precision: Precision
    scenario: str = "step"
    note: str = ""


def main() -> None:
    """Measure every batch size and save the rows."""
    command = parse(Command)
    if command.quick:
        command = replace(command, width=8, image_size=64, batch=command.batch[:1])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = fix_threads(command.threads)
    limits = measure_limits(device, command.quick)
    environment = describe(device, threads) | {"limits": vars(limits)}
    with drawn_dataset(command.image_size, 2 * max(command.batch) + 12) as dataset:
        config = configure(command, 1, "fp32")
        subject = f"width {command.width}, {command.image_size} px, {threads} threads"
        row = Row("train", subject, "", "", 1, "", environment)
        work = step_work(config, dataset, device, threads)
        bench = Bench(command, dataset, device, threads, limits, work, row)
        save((row for batch in command.batch for row in measure_batch(bench, batch)), command, scale="batch")


def configure(command: Command, batch: int, precision: Precision, compiled: bool = False) -> Pix2PixConfig:
    """The run whose step is timed: the paper's networks with instance norm, without averaged weights."""
    return Pix2PixConfig(
        image_size=command.image_size,
        batch_size=batch,
        precision=precision,
        compile=compiled,
        generator=UNetConfig(width=command.width, styles=0),
        discriminator=PatchGANConfig(width=command.width),
    )


@contextmanager
def drawn_dataset(image_size: int, count: int) -> Iterator[Dataset]:
    """A dataset of `count` drawn portraits, of the size that a run of `image_size` loads, for as long as the block."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "drawn"
        import_synthetic(count, data, PrepareOptions(size=AugmentConfig().resolved_load_size(image_size)))
        yield load_dataset(data)


def make_step(config: Pix2PixConfig, dataset: Dataset, device: torch.device, threads: int) -> Step:
    """A step as a worker builds and takes it."""
    context = WorkerContext(0, 1, device, threads, threading.Event(), lambda progress: None)
    task = TASKS["pix2pix"]
    resolved, dataset = resolve(task, config, dataset)
    state = build_state(resolved, build_model(task, resolved, dataset, device), context)

    def step(batch: Batch) -> object:
        state.seen_images += len(batch)
        return state.step([batch], state.seen_images, len(batch), config.optimizer.lr)

    return step


def random_batch(config: Pix2PixConfig, count: int, device: torch.device) -> Batch:
    """Images of noise, which take as long as any others, on the device."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, count, 3, config.image_size, config.image_size, generator=generator) * 2.0 - 1.0
    photo, sketch = images.to(device)
    return Batch(photo, sketch, torch.zeros(count, dtype=torch.int64, device=device), torch.arange(count))


def step_work(config: Pix2PixConfig, dataset: Dataset, device: torch.device, threads: int) -> Work:
    """The operations of Limner's step on one image (43.7 GMAC at width 64, 256x256); all steps are held against it."""
    step, batch = make_step(config, dataset, device, threads), random_batch(config, 1, device)
    return Work(count_work(lambda: step(batch)).flop, 0.0)


def cases(command: Command, device: torch.device) -> list[Case]:
    """What to time, the baseline first."""
    fast = "bf16" if has_fast_bf16(device) else "fp32"
    found = [Case(BASELINE, "fp32")]
    for precision in command.precisions:
        note = ""
        if precision == "bf16" and fast != "bf16":
            note = "no hardware bf16"
        elif precision == "fp16" and device.type != "cuda":
            note = "fp16 trains on a GPU only"
        found.append(Case("limner", precision, note=note))
        if command.compile:
            found.append(Case("limner-compiled", precision, note=note))
    return found + [Case("limner", fast, f"fed by {loader}") for loader in command.loaders]  # type: ignore[arg-type]


def measure_batch(bench: Bench, batch: int) -> list[Row]:
    """All cases at one batch size, in turns."""
    runs: dict[Case, Candidate] = {}
    memory: dict[Case, float | None] = {}
    notes: dict[Case, str] = {}
    for case in cases(bench.command, bench.device):
        try:
            if case.note:
                raise UserError(case.note)
            with peak_memory(bench.device) as used:
                run = make_run(bench, case, batch)
                run()
        except UserError as error:
            notes[case] = str(error)
            continue
        runs[case] = Candidate(run) if case.scenario == "step" else stretch(run, LOOP_STEPS, LEAD_STEPS)
        memory[case] = used.peak_mib
    print(f"train, batch {batch}: {len(runs)} candidates in turns", flush=True)
    named = {str(number): candidate for number, candidate in enumerate(runs.values())}
    effort = QUICK if bench.command.quick else FULL
    measured = zip(runs, measure(named, bench.device, effort).values(), strict=True)
    timings = {case: timing.shared_by(steps_of(case)) for case, timing in measured}
    rows = []
    for case in cases(bench.command, bench.device):
        row = replace(bench.row, backend=case.backend, precision=case.precision, batch=batch, scenario=case.scenario)
        if case in notes:
            rows.append(replace(row, note=notes[case]))
        else:
            rows.append(finish(bench, row, timings, case, memory[case]))
    return rows


def steps_of(case: Case) -> int:
    """In a timed region."""
    return 1 if case.scenario == "step" else LOOP_STEPS


def make_run(bench: Bench, case: Case, batch: int) -> Callable[[], object]:
    """One step of a case, on a fixed batch or on a loader's next."""
    config = configure(bench.command, batch, case.precision, case.backend.endswith("compiled"))
    fixed = random_batch(config, batch, bench.device)
    if case.backend == BASELINE:
        plain = PlainStep(config, bench.device)
        return lambda: plain(fixed)
    step = make_step(config, bench.dataset, bench.device, bench.threads)
    if case.scenario == "step":
        return lambda: step(fixed)
    kind: LoaderKind = "dali" if case.scenario.endswith("dali") else "reference"
    batches = open_loader(
        kind,
        SampleStream(
            root=bench.dataset.root,
            records=bench.dataset.split("train"),
            image_size=config.image_size,
            augment=config.augment,
            batch_size=batch,
            seed=0,
            rank=0,
            world_size=1,
            start=0,
            device=bench.device,
            threads=bench.threads,
            cache=False,
            paired=True,
        ),
    )
    return lambda: step(next(batches))


def finish(bench: Bench, row: Row, timings: dict[Case, Timing], case: Case, memory: float | None) -> Row:
    """The row with its figures; one of a loop says what the loader costs over the same step alone."""
    timing = timings[case]
    work = Work(bench.work.flop * row.batch, 0.0)
    seconds = timing.percentile(50) / 1000.0
    details: dict[str, float] = {"gflop_per_s": work.flop / seconds / 1e9}
    alone = timings.get(replace(case, scenario="step"))
    if case.scenario != "step" and alone is not None:
        cost = alone.speed_over(timing)  # the loop's time over the step's, in the same rounds
        details |= {"loader_cost": cost.median - 1.0, "loader_cost_low": cost.low - 1.0}
        details |= {"loader_cost_high": cost.high - 1.0}
    return row.timed(
        timing,
        row.batch,
        timing.speed_over(timings[Case(BASELINE, "fp32")]),
        share_of_limit=bench.limits.share(work, seconds, case.precision),
        peak_memory_mib=memory,
        details=details,
    )


if __name__ == "__main__":
    run_command(main)
