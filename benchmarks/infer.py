"""Inference speed of a generator in each backend, and how close its images are to eager fp32: `limner bench infer`.

Also `python benchmarks/infer.py`. Three scenarios are those of MLPerf, but short: single-stream (one query after
another), offline (all images at once), server (random arrivals under a latency limit). Two are ours: end-to-end
(single-stream from JPEG bytes to PNG bytes) and cold-start (a fresh process until its first image).
"""

import itertools
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from limner.benchmarks.cold_start import cold_start
from limner.benchmarks.contenders import find_contenders
from limner.benchmarks.environment import command_line, describe
from limner.benchmarks.harness import fix_threads
from limner.benchmarks.poisson import server
from limner.benchmarks.results import FORMER_SCENARIOS, BenchOptions, Row, save
from limner.benchmarks.roofline import measure_limits
from limner.benchmarks.scenarios import InferenceBench, end_to_end, offline, single_stream
from limner.core.bundle import bundle_hash, load_bundle_config
from limner.core.config import require
from limner.core.runs import find_engine, find_model
from limner.core.util.cli import parse
from limner.core.util.errors import run_command
from limner.deploy.inputs import parity_inputs
from limner.deploy.options import BuildOptions

Scenario = Literal["single-stream", "offline", "server", "end-to-end", "cold-start", "files", "start"]
SCENARIOS: Mapping[str, Callable[[InferenceBench], Iterator[Row]]] = {
    "single-stream": single_stream,
    "offline": offline,
    "server": server,
    "end-to-end": end_to_end,
    "cold-start": cold_start,
}


@dataclass(frozen=True)
class Command(BenchOptions):
    """Time a generator in several backends, interleaved in one run."""

    model: str = ""
    """A model bundle; left out: the newest."""
    engine: tuple[Path, ...] = ()
    """Engine directories of that model; left out, without --backends: the newest."""
    backends: tuple[str, ...] = ()
    """More backends: torch-channels-last, torch-bf16, torch-fp16, torch-compile, torch-fp16-graphs; and openvino,
    onnxruntime, tensorrt and torch-tensorrt, which are built for the run in their default precision or, as in
    openvino:int8, in another. Eager fp32 torch is always included as the baseline."""
    scenario: tuple[Scenario, ...] = ("single-stream", "offline")
    """What to measure; files and start are former names of end-to-end and cold-start."""
    batch: tuple[int, ...] = (1, 8, 32)
    """Images per query (single-stream, end-to-end) or per batch (offline)."""
    data: Path | None = None
    """A dataset whose images are translated; left out: blurred noise."""
    limit_ms: float = 1000.0
    """Latency that 99 % of the server scenario's queries must meet."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every scenario and save the rows."""
    command = parse(Command, arguments, prog="limner bench infer")
    require(bool(command.batch) and bool(command.scenario), "batch and scenario: name at least one of each")
    model = find_model(command.model)
    config = load_bundle_config(model)
    signature = config.signature
    scenarios = [FORMER_SCENARIOS.get(name, name) for name in command.scenario]
    takes_photos = signature.inputs[0].name == "photo"
    require(
        takes_photos or "end-to-end" not in scenarios, f"scenario end-to-end: {model} takes no photos: leave it out"
    )
    if not command.engine and not command.backends:
        command = replace(command, engine=(find_engine(""),))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = fix_threads(command.threads)
    batches = sorted(command.batch)
    profile = (batches[0], batches[len(batches) // 2], batches[-1])
    options = BuildOptions(batch=profile, data=command.data, threads=threads)
    with tempfile.TemporaryDirectory() as scratch:
        contenders, missing = find_contenders(command.backends, command.engine, model, device, options, Path(scratch))
        limits = measure_limits(device, command.quick)
        line = full_command(command_line("infer", arguments), command, model)
        environment = describe(device, threads, line) | {"limits": vars(limits)}
        subject = f"{config.task}, {config.image_size} px, bundle {bundle_hash(model)[:12]}, {threads} threads"
        bench = InferenceBench(
            model=model,
            contenders=contenders,
            batches=command.batch,
            inputs=parity_inputs(signature, batches[-1], command.data),
            device=device,
            limits=limits,
            limit_ms=command.limit_ms,
            quick=command.quick,
            new_row=partial(Row, "infer", subject, environment=environment),
        )
        absent = [bench.new_row(name, None, None, None, note=note) for name, note in missing.items()]
        measured = itertools.chain.from_iterable(SCENARIOS[name](bench) for name in scenarios)
        save(itertools.chain(absent, measured), command, scale="batch")


def full_command(given: str, command: Command, model: Path) -> str:
    """Add to a command line the model and the engine that were taken as the newest."""
    words = [] if command.model else ["--model", model.as_posix()]
    if command.engine and "--engine" not in given:
        words += ["--engine", *(engine.as_posix() for engine in command.engine)]
    return f"{given} {shlex.join(words)}".rstrip()


if __name__ == "__main__":
    run_command(main)
