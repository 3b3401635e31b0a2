"""How fast a generator runs in each backend, and how near to eager fp32 its pictures are: `python benchmarks/infer.py`.

Scenarios in the manner of MLPerf's, but short: single-stream (one query after another), offline (one large query),
server (queries at random times, as many a second as a limit on the 99th percentile of latency allows); and two of our
own: files (single-stream from JPEG bytes to PNG bytes) and start (a fresh process to its first picture).
"""

import io
import itertools
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from limner.benchmarks.backends import BASELINE, Backend, find_backends
from limner.benchmarks.environment import describe
from limner.benchmarks.harness import FULL, QUICK, Candidate, Effort, Timing, fix_threads, measure, peak_memory
from limner.benchmarks.results import Options, Row, save
from limner.benchmarks.roofline import Limits, Work, count_work, measure_limits
from limner.core.batch import to_images, to_tensor
from limner.core.bundle import bundle_hash, bundle_signature, load_bundle_config, load_generator
from limner.core.config import require
from limner.core.runs import find_engine, find_model
from limner.core.util.cli import parse
from limner.core.util.errors import UserError, run_command
from limner.data_pipeline.images import decode_image
from limner.deploy.build import BuildOptions
from limner.deploy.engine import Engine
from limner.deploy.inputs import Inputs, as_taken, proof_inputs
from limner.deploy.manifest import Hint
from limner.deploy.parity import difference

Scenario = Literal["single-stream", "offline", "server", "files", "start"]
MLPERF: tuple[Scenario, ...] = ("single-stream", "offline", "server")

OFFLINE = Effort(least=3, most=20, seconds=40.0, warm_up=2)
OFFLINE_IMAGES = 8
"""Images of one offline query, or two batches where those are more."""
ITEM_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
STARTS = Effort(least=5, most=5, seconds=0.0, warm_up=1)
STARTS_QUICK = Effort(least=1, most=1, seconds=0.0, warm_up=0)
START = """
import json, sys, time
start = time.perf_counter()
import numpy
from limner.deploy.engine import open_bundle, open_engine
imported = time.perf_counter()
kind, directory, inputs, device = sys.argv[1:]
engine = open_engine(directory) if kind == "engine" else open_bundle(directory, device=device)
opened = time.perf_counter()
with numpy.load(inputs) as arrays:
    engine.infer(*arrays.values())
done = time.perf_counter()
print(json.dumps({"import_ms": 1e3 * (imported - start), "load_ms": 1e3 * (opened - imported),
                  "first_ms": 1e3 * (done - opened)}))
"""
"""What a fresh process runs: engine|bundle DIRECTORY INPUTS DEVICE."""


@dataclass(frozen=True)
class Command(Options):
    """Time a generator in several backends, side by side in one run."""

    model: str = ""
    """A model bundle; left out: the newest."""
    engine: tuple[Path, ...] = ()
    """Engine directories of that model; left out, with no --backends either: the newest."""
    backends: tuple[str, ...] = ()
    """Further backends: torch-channels-last, torch-bf16, torch-fp16, torch-compile, torch-fp16-graphs; and openvino,
    onnxruntime, tensorrt and torch-tensorrt, which are built for the run in their default precision or, as in
    openvino:int8, in another. Eager fp32 torch, the baseline, is always there."""
    scenario: tuple[Scenario, ...] = ("single-stream", "offline")
    batch: tuple[int, ...] = (1, 8, 32)
    """Images in a query (single-stream, files) or handed over at once (offline)."""
    data: Path | None = None
    """A dataset whose images are shown; left out: blurred noise."""
    limit_ms: float = 1000.0
    """Server: what 99 % of the queries must be answered in."""


@dataclass(frozen=True)
class Bench:
    """What all measurements of a run share."""

    command: Command
    device: torch.device
    threads: int
    limits: Limits
    backends: list[Backend]
    model: Path
    inputs: Inputs
    """As many as the largest batch, in the bundle's format."""
    row: Row
    """With everything but figures."""

    def effort(self, full: Effort) -> Effort:
        """`full`, or the quick one."""
        return QUICK if self.command.quick else full

    def work(self, batch: int) -> Work:
        """Of one batch in fp32, counted on the eager generator."""
        generator = load_generator(self.model)
        tensors = [torch.from_numpy(value[:batch]) for value in self.inputs.values()]
        with torch.no_grad():  # inference_mode hides operations from the counter
            return count_work(lambda: generator(*tensors), generator)


def main() -> None:
    """Measure every scenario and save the rows."""
    command = parse(Command)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = fix_threads(command.threads)
    model = Path(find_model(command.model))
    if not command.engine and not command.backends:
        command = replace(command, engine=(Path(find_engine("")),))
    config = load_bundle_config(model)
    require(bool(command.batch) and bool(command.scenario), "batch and scenario: name at least one of each")
    batches = sorted(command.batch)
    profile = (batches[0], batches[len(batches) // 2], batches[-1])
    options = BuildOptions(batch=profile, data=command.data, threads=threads)
    limits = measure_limits(device, command.quick)
    environment = describe(device, threads) | {"limits": vars(limits)}
    environment["command"] = full_command(environment["command"], command, model)
    subject = f"{config.task}, {config.image_size} px, bundle {bundle_hash(model)[:12]}, {threads} threads"
    row = Row("infer", subject, "", "", 1, "", environment)
    with tempfile.TemporaryDirectory() as scratch:
        backends, missing = find_backends(command.backends, command.engine, model, device, options, Path(scratch))
        inputs = proof_inputs(bundle_signature(config), batches[-1], command.data)
        bench = Bench(command, device, threads, limits, backends, model, inputs, row)
        absent = [replace(row, backend=name, precision="-", scenario="-", note=note) for name, note in missing.items()]
        measured = itertools.chain.from_iterable(SCENARIOS[scenario](bench) for scenario in command.scenario)
        save(itertools.chain(absent, measured), command, scale="batch")


def full_command(given: str, command: Command, model: Path) -> str:
    """The command line with the model and the engine that it took for being the newest."""
    words = [] if command.model else ["--model", model.as_posix()]
    if command.engine and "--engine" not in given:
        words += ["--engine", *(engine.as_posix() for engine in command.engine)]
    return f"{given} {shlex.join(words)}".rstrip()


def side_by_side(bench: Bench, scenario: Scenario, hint: Hint, make: Callable[..., Any], full: Effort) -> Iterator[Row]:
    """All backends in turns at each batch size.

    make: (backend, engine, inputs of one batch) -> (run, images of one run).
    """
    for batch in bench.command.batch:
        with ExitStack() as stack:
            runs: dict[Backend, tuple[Candidate, int]] = {}
            memory: dict[Backend, float | None] = {}
            quality = Quality(bench, batch)
            for backend in bench.backends:
                with peak_memory(bench.device) as used:
                    engine = stack.enter_context(backend.open(hint))
                    if not engine.batch.minimum <= batch <= engine.batch.maximum:
                        yield replace(named_row(bench, backend, batch, scenario), note="built for other batches")
                        continue
                    quality.take(backend, engine)
                run, images = make(backend, engine, quality.given(engine))
                # Latency is that of a query right after another, so one that is not timed comes before it.
                lead = run if hint == "latency" else None
                runs[backend], memory[backend] = (Candidate(run, prepare=lead), images), used.peak_mib
            print(f"infer, {scenario}, batch {batch}: {len(runs)} backends in turns", flush=True)
            named = {str(number): candidate for number, (candidate, _) in enumerate(runs.values())}
            timings = dict(zip(runs, measure(named, bench.device, bench.effort(full)).values(), strict=True))
        work = bench.work(batch)
        baseline = next(timings[backend] for backend in runs if backend.name == BASELINE)
        for backend, (_, images) in runs.items():
            row = named_row(bench, backend, batch, scenario)
            row = row.timed(timings[backend], images, timings[backend].speed_over(baseline))
            row = beside_limits(bench.limits, row, images // batch, work)
            yield replace(row, peak_memory_mib=memory[backend], details=row.details | quality.figures(backend))


def named_row(bench: Bench, backend: Backend, batch: int, scenario: Scenario) -> Row:
    """A row without figures."""
    details: dict[str, Any] = {"manner": "MLPerf-style"} if scenario in MLPERF else {}
    if backend.options:
        details["options"] = backend.options
    row = replace(bench.row, backend=backend.name, precision=backend.precision, batch=batch, scenario=scenario)
    return replace(row, details=details)


class Quality:
    """Pictures of every backend beside those of eager fp32."""

    def __init__(self, bench: Bench, batch: int) -> None:
        self.inputs = {name: value[:batch] for name, value in bench.inputs.items()}
        self.results: dict[str, Any] = {}
        self.baseline: Any = None

    def given(self, engine: Engine) -> Inputs:
        """The batch as the engine takes it."""
        return as_taken(engine.signature, self.inputs)

    def take(self, backend: Backend, engine: Engine) -> None:
        """Run it once and keep its pictures; the baseline comes first."""
        result = engine.infer(*self.given(engine).values())
        result = to_tensor(result).numpy() if result.dtype == np.uint8 else result
        if backend.name == BASELINE:
            self.baseline = result
        self.results[_key(backend)] = result

    def figures(self, backend: Backend) -> dict[str, float]:
        """The worst picture's PSNR (at most 200 dB) and SSIM against the baseline."""
        apart = difference(self.results[_key(backend)], self.baseline)
        return {"psnr_db": apart.psnr_db, "ssim": apart.ssim}


def _key(backend: Backend) -> str:
    return f"{backend.name} {backend.precision} {backend.directory}"


def beside_limits(limits: Limits, row: Row, batches: int, work: Work) -> Row:
    """The row with its rates and its share of the machine's limits; one timed run did `batches` times `work`."""
    assert row.p50_ms is not None
    seconds = row.p50_ms / 1000.0 / batches
    work = replace(work, bytes=work.bytes * ITEM_BYTES.get(row.precision, 4) / ITEM_BYTES["fp32"])
    rates = {"gflop_per_s": work.flop / seconds / 1e9, "flop_per_byte": work.flop / work.bytes}
    shares = limits.shares(work, seconds, row.precision)
    details = row.details | rates | {"batches_a_run": batches, "limit": max(shares, key=lambda name: shares[name])}
    return replace(row, share_of_limit=limits.share(work, seconds, row.precision), details=details)


def single_stream(bench: Bench) -> Iterator[Row]:
    """One query after another: latency."""

    def make(backend: Backend, engine: Engine, inputs: Inputs) -> tuple[Callable[[], object], int]:
        return lambda: engine.infer(*inputs.values()), len(next(iter(inputs.values())))

    return side_by_side(bench, "single-stream", "latency", make, FULL)


def offline(bench: Bench) -> Iterator[Row]:
    """All images at once, in batches: throughput."""

    def make(backend: Backend, engine: Engine, inputs: Inputs) -> tuple[Callable[[], object], int]:
        batch = len(next(iter(inputs.values())))
        queries = max(OFFLINE_IMAGES, 2 * batch) // batch
        pool = ThreadPoolExecutor(backend.callers)
        return lambda: list(pool.map(lambda _: engine.infer(*inputs.values()), range(queries))), queries * batch

    return side_by_side(bench, "offline", "throughput", make, OFFLINE)


def files(bench: Bench) -> Iterator[Row]:
    """Single-stream from the bytes of JPEG files to those of PNG files; photos only."""
    if "photo" not in bench.inputs:
        raise UserError("scenario files: this generator takes no photos; leave it out")

    def make(backend: Backend, engine: Engine, inputs: Inputs) -> tuple[Callable[[], object], int]:
        photo, *style = inputs.values()
        pictures = photo if photo.dtype == np.uint8 else to_images(torch.from_numpy(photo))
        encoded = [_encode(picture, "JPEG") for picture in pictures]

        def run() -> list[bytes]:
            batch = np.stack([decode_image(data, "memory") for data in encoded])
            return [_encode(picture, "PNG") for picture in engine.infer(batch, *style)]

        return run, len(encoded)

    return side_by_side(bench, "files", "latency", make, FULL)


def _encode(picture: Any, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format=form, **({"quality": 95} if form == "JPEG" else {}))
    return file.getvalue()


def start(bench: Bench) -> Iterator[Row]:
    """A fresh process: imports, opening the engine, the first picture; baseline and engines only."""
    with tempfile.TemporaryDirectory() as scratch:
        starts: list[tuple[Backend, int, FreshProcess]] = []
        for number, backend in enumerate(bench.backends):
            if backend.directory is None and backend.name != BASELINE:
                continue
            with backend.open("latency") as engine:
                images = engine.batch.minimum
                one = {name: value[:images] for name, value in bench.inputs.items()}
                inputs = Path(scratch) / f"{number}.npz"
                np.savez(inputs, **as_taken(engine.signature, one))  # type: ignore[arg-type]
            where = ["bundle", bench.model] if backend.directory is None else ["engine", backend.directory]
            starts.append((backend, images, FreshProcess([*map(str, where), str(inputs), bench.device.type])))
        candidates = {str(number): Candidate(process) for number, (_, _, process) in enumerate(starts)}
        timings = measure(candidates, torch.device("cpu"), STARTS_QUICK if bench.command.quick else STARTS)
    for (backend, images, process), timing in zip(starts, timings.values(), strict=True):
        row = named_row(bench, backend, images, "start")
        parts = row.details | process.parts(len(timing.times_ms))
        yield replace(row.timed(timing, images, timing.speed_over(timings["0"]), details=parts), images_per_s=None)


class FreshProcess:
    """Starts a process that opens an engine or a bundle and infers once, and keeps how long its parts took."""

    def __init__(self, words: list[str]) -> None:
        """words: engine or bundle, its directory, the file of the inputs, the device of a bundle."""
        self.words = words
        self.reports: list[dict[str, float]] = []

    def __call__(self) -> None:
        """Start it once."""
        command = [sys.executable, "-c", START, *self.words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        self.reports.append(json.loads(done.stdout.splitlines()[-1]))

    def parts(self, latest: int) -> dict[str, float]:
        """The median of each part over the latest so many starts."""
        counted = self.reports[-latest:]
        return {name: float(np.median([report[name] for report in counted])) for name in counted[0]}


def server(bench: Bench) -> Iterator[Row]:
    """The highest rate of random queries of one image whose 99th percentile of latency stays under the limit."""
    baseline: float | None = None
    for backend in bench.backends:
        with backend.open("latency") as engine:
            if engine.batch.minimum > 1:
                yield replace(named_row(bench, backend, 1, "server"), note="built for other batches")
                continue
            one = as_taken(engine.signature, {name: value[:1] for name, value in bench.inputs.items()})

            def answer(engine: Engine = engine, one: Inputs = one) -> object:
                return engine.infer(*one.values())

            alone = measure({"": Candidate(answer)}, bench.device, QUICK)[""]
            found = highest_rate(answer, alone, bench.command.limit_ms, bench.command.quick)
        row = named_row(bench, backend, 1, "server")
        limit = row.details | {"limit_ms": bench.command.limit_ms}
        if found is None:
            yield replace(row, note="no rate meets the limit", details=limit)
            continue
        rate, timing = found
        if backend.name == BASELINE:
            baseline = rate
        against = rate / baseline if baseline else None
        yield replace(row.timed(timing, 1, details=limit), images_per_s=rate, vs_baseline=against)


def highest_rate(
    answer: Callable[[], object], alone: Timing, limit_ms: float, quick: bool
) -> tuple[float, Timing] | None:
    """Bisect between none and as many queries a second as one after another would be; None if no rate is met."""
    low, high = 0.0, 1000.0 / alone.percentile(50)
    best = None
    for number in range(3 if quick else 6):
        rate = (low + high) / 2.0
        timing = Timing(tuple(serve(answer, rate, 8 if quick else 150, seed=number)), alone.warm_up)
        if timing.percentile(99) <= limit_ms:
            low, best = rate, (rate, timing)
        else:
            high = rate
    return best


def serve(answer: Callable[[], object], rate: float, count: int, seed: int) -> list[float]:
    """Latencies in ms, from arrival to answer, of `count` queries that arrive as a Poisson process and wait in line."""
    arrivals = np.random.default_rng(seed).exponential(1.0 / rate, count).cumsum()
    start = time.perf_counter()
    latencies = []
    for arrival in arrivals:
        time.sleep(max(0.0, start + arrival - time.perf_counter()))
        answer()
        latencies.append(1000.0 * (time.perf_counter() - start - arrival))
    return latencies


SCENARIOS: Mapping[Scenario, Callable[[Bench], Iterator[Row]]] = {
    "single-stream": single_stream,
    "offline": offline,
    "server": server,
    "files": files,
    "start": start,
}


if __name__ == "__main__":
    run_command(main)
