"""What starting and adding workers costs, under each launcher: `python benchmarks/scaling.py`.

Each case is a training run of scripts/train.py in processes of its own, as a user starts it, read from outside by its
metrics.jsonl: start-up is the time to the first report, the steady rate comes from the reports after it.
"""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from limner.benchmarks.environment import ROOT, describe
from limner.benchmarks.harness import MIB, Candidate, Effort, Timing, fix_threads, measure
from limner.benchmarks.results import Options, Row, save
from limner.core.config import AugmentConfig, require
from limner.core.networks.config import PatchGANConfig, UNetConfig
from limner.core.tasks import TASKS
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.training.checkpoint import save_checkpoint
from limner.core.util.cli import parse
from limner.core.util.errors import LimnerError, run_command
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic
from limner.data_pipeline.index import load_dataset
from limner.distributed.context import WorkerContext
from limner.distributed.worker import build_model, build_state, resolve

Launcher = Literal["local", "torchrun", "ray"]
Part = Literal["weak", "strong", "checkpoint", "recovery"]

ROUNDS = Effort(least=5, most=5, seconds=0.0, warm_up=1)
POLL_S = 0.02
MIN_REPORTS = 2
"""The first and the last of a run, which do not count."""


@dataclass(frozen=True)
class Command(Options):
    """Time launchers and workers against one local worker."""

    launchers: tuple[Launcher, ...] = ("local", "torchrun", "ray")
    workers: tuple[int, ...] = (1, 2)
    parts: tuple[Part, ...] = ("weak", "strong", "checkpoint", "recovery")
    """weak: the same batch for each worker; strong: one global batch, shared out; checkpoint: the cost of a save;
    recovery: from the death of one of several Ray workers to the next report."""
    batch: int = 2
    """Images of a step: of each worker (weak), of all (strong)."""
    width: int = 24
    image_size: int = 128
    reports: int = 6
    """Reports of the run with the largest steps; others, over as many images, have more."""
    report_steps: int = 8
    step_s: float = 0.05
    """For the model of several machines: seconds of a worker's step by itself, as train.py measures them."""
    gradient_mb: float = 228.7
    """And the gradients that it exchanges, in 1e6 bytes; the paper's two networks in fp32 have 57.2 million."""


@dataclass(frozen=True)
class Run:
    """What was seen of a training run."""

    startup_s: float
    """From the command to the first report, less the time of the steps in it at the steady rate."""
    images_per_s: tuple[float, ...]
    """Of the reports but the first, in which things are still warming up, and the last, before which it saves."""


def main() -> None:
    """Measure every part and save the rows."""
    command = parse(Command)
    require(command.reports > MIN_REPORTS, f"reports {command.reports}: must be over {MIN_REPORTS}")
    if command.quick:
        command = replace(command, width=4, image_size=64, reports=4, report_steps=2)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = fix_threads(command.threads)
    subject = f"width {command.width}, {command.image_size} px, {threads} threads"
    row = Row("scaling", subject, "", "fp32", command.batch, "", describe(device, threads))
    save(measure_parts(command, row, device), command, scale="workers")
    print(model_table(command.step_s, command.gradient_mb))


def measure_parts(command: Command, row: Row, device: torch.device) -> Iterator[Row]:
    """Every part, on drawn portraits."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        count = command.reports * command.report_steps * command.batch * max(command.workers)
        size = AugmentConfig().resolved_load_size(command.image_size)
        import_synthetic(count, data, PrepareOptions(size=size, val_fraction=0.0))
        for part in command.parts:
            if part == "checkpoint":
                yield measure_checkpoint(command, row, data, device)
            elif part == "recovery":
                yield measure_recovery(command, row, data, Path(scratch))
            else:
                yield from measure_scaling(command, row, part, data, Path(scratch))


def measure_scaling(command: Command, row: Row, part: Part, data: Path, scratch: Path) -> Iterator[Row]:
    """Every launcher with every number of workers; the baseline is the first."""
    baseline: float | None = None
    for workers in command.workers:
        if part == "strong" and command.batch % workers:
            continue
        batch = command.batch if part == "weak" else command.batch // workers
        for launcher in command.launchers:
            print(f"scaling, {part}: {launcher}, {workers} worker(s)", flush=True)
            directory = scratch / f"{part}-{launcher}-{workers}"
            run = watch(train_command(command, launcher, workers, batch, data), directory)
            rate = statistics.median(run.images_per_s)
            baseline = baseline or rate
            images = batch * workers
            timing = Timing(tuple(1000.0 * images / value for value in run.images_per_s), command.report_steps)
            named = replace(row, backend=launcher, scenario=f"{part}, {workers} workers", batch=images)
            details = {"workers": workers, "startup_s": run.startup_s}
            yield replace(named.timed(timing, images, details=details), vs_baseline=rate / baseline)


def train_command(command: Command, launcher: Launcher, workers: int, batch: int, data: Path) -> list[str]:
    """The command line of a run of one epoch, at whose end it saves."""
    options: dict[str, object] = {
        "preset": "lite",
        "precision": "fp32",
        "epochs": 1,
        "data": data,
        "launcher": "ray" if launcher == "ray" else "local",
        "workers": workers,
        "cpus-per-worker": command.threads,
        "image-size": command.image_size,
        "batch-size": batch,
        "generator.width": command.width,
        "discriminator.width": command.width,
        "cadence.report-images": command.report_steps * batch * workers,
    }
    start = [sys.executable]
    if launcher == "torchrun":  # without the --, it takes our --run for a short form of options of its own
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={workers}", "--"]
    flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [*start, str(ROOT / "scripts" / "train.py"), "pix2pix", *flags]


def watch(words: list[str], run: Path) -> Run:
    """Train in `run` and read its reports until it ends; LimnerError, with its last words, where it fails."""
    first: float | None = None
    start = time.perf_counter()
    with started(words, run) as process:
        while process.poll() is None:
            if first is None and reports(run):
                first = time.perf_counter() - start
            time.sleep(POLL_S)
    found = reports(run)
    assert first is not None
    rates = tuple(report["images_per_s"] for report in found[1:-1])
    return Run(first - found[0]["seen_images"] / statistics.median(rates), rates)


@contextlib.contextmanager
def started(words: list[str], run: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A training process; asked to stop where the block is left before it ends.

    Raises LimnerError, with its last words, where it has failed.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*words, "--run", str(run)], stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait()
        if process.returncode:
            output.seek(0)
            raise LimnerError(f"a training run failed: {output.read().decode(errors='replace').strip()[-500:]}")


def reports(run: Path) -> list[dict[str, float]]:
    """The complete lines of a run's metrics.jsonl so far."""
    metrics = run / "metrics.jsonl"
    if not metrics.exists():
        return []
    return [json.loads(line) for line in metrics.read_text(encoding="utf-8").split("\n")[:-1]]


def measure_checkpoint(command: Command, row: Row, data: Path, device: torch.device) -> Row:
    """One save of the whole training state to the local disk, synced."""
    context = WorkerContext(0, 1, device, 1, threading.Event(), lambda progress: None)
    task = TASKS["pix2pix"]
    config, dataset = resolve(task, configure(command), load_dataset(data))
    state = build_state(config, build_model(task, config, dataset, device), context)
    written = state.state_dict([state.rng_state()])
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        save_once = Candidate(lambda: save_checkpoint(root, written, 0, None, keep=1))
        timing = measure({"": save_once}, torch.device("cpu"), ROUNDS)[""]
        mib = sum(file.stat().st_size for file in root.rglob("*.pt")) / MIB
    named = replace(row, backend="local", scenario="checkpoint")
    return replace(named.timed(timing, 1, details={"workers": 1, "checkpoint_mib": mib}), images_per_s=None)


def configure(command: Command) -> Pix2PixConfig:
    """The networks of the runs here, for what is measured in this process."""
    return Pix2PixConfig(
        image_size=command.image_size,
        precision="fp32",
        generator=UNetConfig(width=command.width, styles=0),
        discriminator=PatchGANConfig(width=command.width),
    )


def measure_recovery(command: Command, row: Row, data: Path, scratch: Path) -> Row:
    """From kill -9 of one of several Ray workers until the run takes its next step, from the checkpoint before."""
    named = replace(row, backend="ray", scenario="recovery")
    if not Path("/proc").is_dir():
        return replace(named, note="finds the workers through /proc, which this system has not")
    workers = max(command.workers)
    print(f"scaling, recovery: ray, {workers} worker(s)", flush=True)
    run = scratch / "recovery"
    interval = command.report_steps * command.batch * workers
    words = train_command(command, "ray", workers, command.batch, data)
    with started([*words, "--cadence.save-images", str(interval)], run) as process:
        seen = wait_for_report(process, run, beyond=0)["seen_images"]
        os.kill(ray_worker(process.pid), signal.SIGKILL)
        start = time.perf_counter()
        report = wait_for_report(process, run, beyond=seen)
        seconds = time.perf_counter() - start - interval / report["images_per_s"]
        process.wait()
    timing = Timing((1000.0 * seconds,), 0)
    return replace(named.timed(timing, 1, details={"workers": workers, "recovery_s": seconds}), images_per_s=None)


def wait_for_report(process: "subprocess.Popen[bytes]", run: Path, beyond: float) -> dict[str, float]:
    """The first report on more than `beyond` images; LimnerError where the run ends without one."""
    while True:
        ended = process.poll() is not None
        for report in reports(run):
            if report["seen_images"] > beyond:
                return report
        if ended:
            raise LimnerError(f"the run ended before it reported more than {beyond:g} images")
        time.sleep(POLL_S)


def ray_worker(driver: int) -> int:
    """The process number of a Ray Train worker that the process `driver` brought about, by the title Ray gives it."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended in the meantime
            if b"TrainWorker" in (path / "cmdline").read_bytes() and driver in ancestors(int(path.name)):
                return int(path.name)
    raise LimnerError(
        "no worker of the run is on this machine: without RAY_ADDRESS it starts a cluster of its own here"
    )


def ancestors(process: int) -> list[int]:
    """Process numbers of a process's parents, the nearest first."""
    found = []
    while process > 1:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
        process = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
        found.append(process)
    return found


LINKS_GBIT = (1, 10, 100, 400)
OVERLAP = 0.5
"""Of a step, behind which DDP hides the exchange: the backward passes, but for their last bucket."""


def model_table(step_s: float, gradient_mb: float) -> str:
    """Efficiency of weak scaling past one machine, modelled by `ring_step_s`, as a Markdown table."""
    machines = (2, 4, 8, 16, 64)
    lines = [
        f"Modelled efficiency, step {step_s:g} s, gradients {gradient_mb:g} MB, overlap {OVERLAP:g}:",
        f"| link | {' | '.join(f'{number} machines' for number in machines)} |",
        f"|---|{'--:|' * len(machines)}",
    ]
    for gbit in LINKS_GBIT:
        steps = [ring_step_s(step_s, gradient_mb * 1e6, number, gbit * 1e9 / 8, OVERLAP) for number in machines]
        lines.append(f"| {gbit} Gbit/s | {' | '.join(f'{step_s / step:.0%}' for step in steps)} |")
    return "\n".join(lines)


def ring_step_s(step_s: float, gradient_bytes: float, workers: int, link_bytes_per_s: float, overlap: float) -> float:
    """Seconds of a step with gradients exchanged in a ring, modelled.

    Each worker sends and receives 2 (n - 1) / n of the gradients' bytes (Patarasuk and Yuan 2009, "Bandwidth optimal
    all-reduce"). overlap: the part of the step, 0 to 1, that the exchange can hide behind. Latency is left out.
    """
    exchange_s = 2.0 * (workers - 1) / workers * gradient_bytes / link_bytes_per_s
    return step_s + max(0.0, exchange_s - overlap * step_s)


if __name__ == "__main__":
    run_command(main)
