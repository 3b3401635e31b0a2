"""The scenarios of infer.py that time all contenders interleaved: single-stream, offline and end-to-end."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from limner.benchmarks.contenders import BASELINE, Contender
from limner.benchmarks.harness import FULL, QUICK, peak_memory, stopwatch
from limner.benchmarks.results import Row
from limner.benchmarks.roofline import Limits, Workload, count_workload
from limner.core.batch import to_images, to_tensor
from limner.core.bundle import load_generator
from limner.core.util.timing import Candidate, TimingBudget, time_interleaved
from limner.data_pipeline.images import decode_image
from limner.deploy.engine import Engine
from limner.deploy.inputs import Inputs, to_engine_inputs
from limner.deploy.manifest import Hint
from limner.deploy.parity import difference

OFFLINE = TimingBudget(min_repeats=3, max_repeats=20, seconds=40.0, warm_up=2)
OFFLINE_IMAGES = 8
"""Images of one offline query, or two batches if that is more."""
ITEM_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
MLPERF = ("single-stream", "offline", "server")
WRONG_BATCH = "built for other batches"

MakeRun = Callable[[Contender, Engine, Inputs], tuple[Callable[[], object], int]]
"""Makes of an open engine and one batch in its format the run to time, and says how many images a run handles."""


@dataclass(frozen=True)
class InferenceBench:
    """What all measurements of a run share."""

    model: Path
    contenders: list[Contender]
    batches: tuple[int, ...]
    inputs: Inputs
    """As many as the largest batch, in the bundle's format."""
    device: torch.device
    limits: Limits
    limit_ms: float
    """Latency that 99 % of the server scenario's queries must meet."""
    quick: bool
    new_row: Callable[..., Row]
    """Makes a row of (backend, precision, batch, scenario)."""

    def budget(self, full: TimingBudget) -> TimingBudget:
        """Return `full`, or the quick budget."""
        return QUICK if self.quick else full

    def inputs_for(self, engine: Engine, batch: int) -> Inputs:
        """Return one batch in the format of an engine."""
        return to_engine_inputs(engine.signature, {name: value[:batch] for name, value in self.inputs.items()})

    def workload(self, batch: int) -> Workload:
        """Count one batch of the eager generator in fp32."""
        generator = load_generator(self.model)
        tensors = [torch.from_numpy(value[:batch]) for value in self.inputs.values()]
        with torch.no_grad():  # inference_mode hides operations from the counter
            return count_workload(lambda: generator(*tensors), generator)

    def row(self, contender: Contender, batch: int, scenario: str) -> Row:
        """Make a row without figures."""
        details: dict[str, Any] = {"manner": "MLPerf-style"} if scenario in MLPERF else {}
        if contender.options:
            details["options"] = contender.options
        return self.new_row(contender.name, contender.precision, batch, scenario, details=details)


class Quality:
    """Compares the images of each contender with those of the baseline."""

    def __init__(self) -> None:
        self.results: dict[Contender, Any] = {}

    def add(self, contender: Contender, images: Any) -> None:
        """Keep a contender's images, NCHW float in [-1, 1] or NHWC uint8; the baseline's come first."""
        self.results[contender] = to_tensor(images).numpy() if images.dtype == np.uint8 else images

    def details(self, contender: Contender) -> dict[str, float]:
        """Return the worst image's PSNR (at most 200 dB) and SSIM."""
        baseline, *_ = self.results.values()
        worst = difference(self.results[contender], baseline)
        return {"psnr_db": worst.psnr_db, "ssim": worst.ssim}


def measure_interleaved(
    bench: InferenceBench, scenario: str, hint: Hint, make_run: MakeRun, full: TimingBudget
) -> Iterator[Row]:
    """Time all contenders, interleaved, at each batch size."""
    for batch in bench.batches:
        with ExitStack() as stack:
            candidates: dict[Contender, Candidate] = {}
            images_per_run: dict[Contender, int] = {}
            memory: dict[Contender, float | None] = {}
            quality = Quality()
            for contender in bench.contenders:
                with peak_memory(bench.device) as used:
                    engine = stack.enter_context(contender.open(hint))
                    if not engine.batch.minimum <= batch <= engine.batch.maximum:
                        yield replace(bench.row(contender, batch, scenario), note=WRONG_BATCH)
                        continue
                    inputs = bench.inputs_for(engine, batch)
                    quality.add(contender, engine.infer(*inputs.values()))
                run, images_per_run[contender] = make_run(contender, engine, inputs)
                # Latency is that of a query right after another, so an untimed one precedes each timed one.
                candidates[contender] = Candidate(run, prepare=run if hint == "latency" else None)
                memory[contender] = used.peak_mib
            print(f"infer, {scenario}, batch {batch}: {len(candidates)} backends, interleaved", flush=True)
            timings = time_interleaved(candidates, bench.budget(full), stopwatch=stopwatch(bench.device))
        workload = bench.workload(batch)
        baseline = next(timing for contender, timing in timings.items() if contender.name == BASELINE)
        for contender, timing in timings.items():
            images = images_per_run[contender]
            row = bench.row(contender, batch, scenario).with_timing(timing, images, timing.speedup_over(baseline))
            row = with_roofline(row, bench.limits, contender.precision, workload, images // batch)
            yield replace(row, peak_memory_mib=memory[contender], details=row.details | quality.details(contender))


def with_roofline(row: Row, limits: Limits, precision: str, workload: Workload, batches: int) -> Row:
    """Add rates and the roofline fraction; a timed run did `batches` times `workload`, which is counted in fp32."""
    assert row.p50_ms is not None
    seconds = row.p50_ms / 1000.0 / batches
    workload = replace(workload, bytes=workload.bytes * ITEM_BYTES.get(precision, 4) / ITEM_BYTES["fp32"])
    rates = {"gflop_per_s": workload.flop / seconds / 1e9, "flop_per_byte": workload.flop / workload.bytes}
    fractions = limits.fractions(workload, seconds, precision)
    limit = max(fractions, key=lambda name: fractions[name])
    details = row.details | rates | {"batches_a_run": batches, "limit": limit}
    return replace(row, share_of_limit=limits.roofline_fraction(workload, seconds, precision), details=details)


def single_stream(bench: InferenceBench) -> Iterator[Row]:
    """Measure latency: one query after another."""

    def make_run(contender: Contender, engine: Engine, inputs: Inputs) -> tuple[Callable[[], object], int]:
        return lambda: engine.infer(*inputs.values()), len(next(iter(inputs.values())))

    return measure_interleaved(bench, "single-stream", "latency", make_run, FULL)


def offline(bench: InferenceBench) -> Iterator[Row]:
    """Measure throughput: all images at once, in batches."""

    def make_run(contender: Contender, engine: Engine, inputs: Inputs) -> tuple[Callable[[], object], int]:
        batch = len(next(iter(inputs.values())))
        queries = max(OFFLINE_IMAGES, 2 * batch) // batch
        pool = ThreadPoolExecutor(contender.callers)
        return lambda: list(pool.map(lambda _: engine.infer(*inputs.values()), range(queries))), queries * batch

    return measure_interleaved(bench, "offline", "throughput", make_run, OFFLINE)


def end_to_end(bench: InferenceBench) -> Iterator[Row]:
    """Measure latency from the bytes of JPEG files to those of PNG files; photos only."""

    def make_run(contender: Contender, engine: Engine, inputs: Inputs) -> tuple[Callable[[], object], int]:
        photo, *style = inputs.values()
        images = photo if photo.dtype == np.uint8 else to_images(torch.from_numpy(photo))
        encoded = [_encode(image, "JPEG") for image in images]

        def run() -> list[bytes]:
            batch = np.stack([decode_image(data, "memory") for data in encoded])
            return [_encode(image, "PNG") for image in engine.infer(batch, *style)]

        return run, len(encoded)

    return measure_interleaved(bench, "end-to-end", "latency", make_run, FULL)


def _encode(image: Any, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format=form, **({"quality": 95} if form == "JPEG" else {}))
    return file.getvalue()
