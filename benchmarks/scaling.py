"""The cost of launchers, of more workers, of a save and of a recovery: `limner bench scaling`.

Also `python benchmarks/scaling.py`. Each measurement is a training run of scripts/train.py in processes of its own, as
a user starts it, observed through its metrics.jsonl.
"""

import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from limner.benchmarks.environment import ROOT, command_line, describe
from limner.benchmarks.harness import MIB, fix_threads
from limner.benchmarks.results import BenchOptions, Row, save
from limner.benchmarks.ring import efficiency_table
from limner.benchmarks.training import build_worker_state, pix2pix_config
from limner.benchmarks.training_process import (
    MIN_REPORTS,
    find_ray_worker,
    time_run,
    training_process,
    wait_for_report,
)
from limner.core.config import AugmentConfig, require
from limner.core.training.checkpoint import save_checkpoint
from limner.core.util.cli import parse
from limner.core.util.errors import run_command
from limner.core.util.text import count_of
from limner.core.util.timing import Candidate, Timing, TimingBudget, time_interleaved
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic
from limner.data_pipeline.index import load_dataset

Launcher = Literal["local", "torchrun", "ray"]
Part = Literal["weak", "strong", "checkpoint", "recovery"]

SAVES = TimingBudget(min_repeats=5, max_repeats=5, seconds=0.0, warm_up=1)


@dataclass(frozen=True)
class Command(BenchOptions):
    """Time launchers and numbers of workers next to one local worker."""

    launchers: tuple[Launcher, ...] = ("local", "torchrun", "ray")
    """Launchers to start the runs by."""
    workers: tuple[int, ...] = (1, 2)
    """Numbers of workers."""
    parts: tuple[Part, ...] = ("weak", "strong", "checkpoint", "recovery")
    """weak: the same batch for each worker; strong: one global batch, divided; checkpoint: the time of a save;
    recovery: from the death of one of several Ray workers to the next step."""
    batch: int = 2
    """Images per step: of each worker (weak), of all (strong)."""
    width: int = 24
    """Channels in the first layer of both networks."""
    image_size: int = 128
    """Side of the images, in pixels."""
    reports: int = 6
    """Reports of the run with the largest steps; others, over as many images, have more."""
    report_steps: int = 8
    """Steps between two reports of the run with the largest steps."""
    step_s: float = 0.05
    """For the model of several machines: seconds of a worker's step alone, as `limner bench train` measures them."""
    gradient_mb: float = 228.7
    """For the same model: gradients that it exchanges, in 1e6 bytes; the paper's two networks have 57.2 M weights."""


@dataclass(frozen=True)
class ScalingBench:
    """What all measurements of a run share."""

    command: Command
    data: Path
    scratch: Path
    new_row: Callable[..., Row]
    """Makes a row of (backend, precision, batch, scenario)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every part and save the rows."""
    command = parse(Command, arguments, prog="limner bench scaling")
    require(command.reports > MIN_REPORTS, f"reports {command.reports}: must be over {MIN_REPORTS}")
    if command.quick:
        command = replace(command, width=4, image_size=64, reports=4, report_steps=2)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = fix_threads(command.threads)
    subject = f"width {command.width}, {command.image_size} px, {threads} threads"
    environment = describe(device, threads, command_line("scaling", arguments))
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        count = command.reports * command.report_steps * command.batch * max(command.workers)
        size = AugmentConfig().resolved_load_size(command.image_size)
        import_synthetic(count, data, PrepareOptions(size=size, val_fraction=0.0))
        bench = ScalingBench(command, data, Path(scratch), partial(Row, "scaling", subject, environment=environment))
        save(measure_parts(bench, device), command, scale="workers")
    print(efficiency_table(command.step_s, command.gradient_mb))


def measure_parts(bench: ScalingBench, device: torch.device) -> Iterator[Row]:
    """Measure every part."""
    for part in bench.command.parts:
        if part == "checkpoint":
            yield measure_checkpoint(bench, device)
        elif part == "recovery":
            yield measure_recovery(bench)
        else:
            yield from measure_scaling(bench, part)


def measure_scaling(bench: ScalingBench, part: Literal["weak", "strong"]) -> Iterator[Row]:
    """Time every launcher with every number of workers; the baseline is the first."""
    command = bench.command
    baseline: float | None = None
    for workers in command.workers:
        if part == "strong" and command.batch % workers:
            continue
        batch = command.batch if part == "weak" else command.batch // workers
        images = batch * workers
        for launcher in command.launchers:
            print(f"scaling, {part}: {launcher}, {count_of(workers, 'worker')}", flush=True)
            run = bench.scratch / f"{part}-{launcher}-{workers}"
            times = time_run(train_command(bench, launcher, workers, batch), run)
            rate = statistics.median(times.images_per_s)
            baseline = baseline or rate
            timing = Timing(tuple(1000.0 * images / value for value in times.images_per_s), command.report_steps)
            row = bench.new_row(launcher, "fp32", images, f"{part}, {count_of(workers, 'worker')}")
            details = {"workers": workers, "startup_s": times.startup_s}
            yield replace(row.with_timing(timing, images, details=details), vs_baseline=rate / baseline)


def train_command(bench: ScalingBench, launcher: Launcher, workers: int, batch: int) -> list[str]:
    """Make the command line of a run of one epoch, which saves at its end."""
    command = bench.command
    options: dict[str, object] = {
        "preset": "lite",
        "precision": "fp32",
        "epochs": 1,
        "data": bench.data,
        "launcher": "ray" if launcher == "ray" else "local",
        "workers": workers,
        "cpus-per-worker": command.threads,
        "image-size": command.image_size,
        "batch-size": batch,
        "generator.width": command.width,
        "generator.styles": 0,
        "discriminator.width": command.width,
        "cadence.report-images": command.report_steps * batch * workers,
    }
    start = [sys.executable]
    if launcher == "torchrun":  # without the --, it takes our --run for an abbreviation of an option of its own
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={workers}", "--"]
    flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [*start, str(ROOT / "scripts" / "train.py"), "pix2pix", *flags]


def measure_checkpoint(bench: ScalingBench, device: torch.device) -> Row:
    """Time a synced save of the whole training state to the local disk."""
    command = bench.command
    config = pix2pix_config(command.width, command.image_size)
    state = build_worker_state(config, load_dataset(bench.data), device, threads=1)
    written = state.state_dict([state.rng_state()])
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        candidate = Candidate(lambda: save_checkpoint(root, written, 0, None, keep=1))
        timing = time_interleaved({"": candidate}, SAVES)[""]
        mib = sum(file.stat().st_size for file in root.rglob("*.pt")) / MIB
    row = bench.new_row("local", "fp32", command.batch, "checkpoint")
    row = row.with_timing(timing, 1, details={"workers": 1, "checkpoint_mib": mib})
    return replace(row, images_per_s=None)


def measure_recovery(bench: ScalingBench) -> Row:
    """Time from kill -9 of one of several Ray workers to the run's next step, resumed at the previous checkpoint."""
    command = bench.command
    row = bench.new_row("ray", "fp32", command.batch, "recovery")
    if not Path("/proc").is_dir():
        return replace(row, note="finds workers through /proc, which this system lacks")
    workers = max(command.workers)
    print(f"scaling, recovery: ray, {count_of(workers, 'worker')}", flush=True)
    run = bench.scratch / "recovery"
    interval = command.report_steps * command.batch * workers
    words = [*train_command(bench, "ray", workers, command.batch), "--cadence.save-images", str(interval)]
    with training_process(words, run) as process:
        seen = wait_for_report(process, run, beyond=0)["seen_images"]
        os.kill(find_ray_worker(process.pid), signal.SIGKILL)
        start = time.perf_counter()
        report = wait_for_report(process, run, beyond=seen)
        seconds = time.perf_counter() - start - interval / report["images_per_s"]
        process.wait()
    row = row.with_timing(Timing((1000.0 * seconds,), 0), 1, details={"workers": workers, "recovery_s": seconds})
    return replace(row, images_per_s=None)


if __name__ == "__main__":
    run_command(main)
