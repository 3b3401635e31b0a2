"""The cold-start scenario of infer.py: a fresh process until its first image, for the baseline and engines."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from limner.benchmarks.contenders import BASELINE, Contender
from limner.benchmarks.results import Row
from limner.benchmarks.scenarios import InferenceBench
from limner.core.util.timing import Candidate, TimingBudget, time_interleaved

FULL = TimingBudget(min_repeats=5, max_repeats=5, seconds=0.0, warm_up=1)
QUICK = TimingBudget(min_repeats=1, max_repeats=1, seconds=0.0, warm_up=0)
PROGRAM = """
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
"""Arguments: engine|bundle DIRECTORY INPUTS DEVICE."""


class ColdStart:
    """Runs PROGRAM in a fresh process per call and keeps the times of its parts."""

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments
        self.reports: list[dict[str, float]] = []

    def __call__(self) -> None:
        """Run it once."""
        command = [sys.executable, "-c", PROGRAM, *self.arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        self.reports.append(json.loads(done.stdout.splitlines()[-1]))

    def parts(self, latest: int) -> dict[str, float]:
        """Return the median of each part over the latest calls, in ms."""
        counted = self.reports[-latest:]
        return {name: float(np.median([report[name] for report in counted])) for name in counted[0]}


def cold_start(bench: InferenceBench) -> Iterator[Row]:
    """Measure imports, opening the engine and the first image."""
    with tempfile.TemporaryDirectory() as scratch:
        starts: dict[Contender, ColdStart] = {}
        images: dict[Contender, int] = {}
        for contender in bench.contenders:
            if contender.directory is None and contender.name != BASELINE:
                continue
            with contender.open("latency") as engine:
                images[contender] = engine.batch.minimum
                inputs = Path(scratch) / f"{len(starts)}.npz"
                np.savez(inputs, **bench.inputs_for(engine, engine.batch.minimum))  # type: ignore[arg-type]
            kind, directory = ("engine", contender.directory) if contender.directory else ("bundle", bench.model)
            starts[contender] = ColdStart([kind, str(directory), str(inputs), bench.device.type])
        candidates = {contender: Candidate(start) for contender, start in starts.items()}
        timings = time_interleaved(candidates, QUICK if bench.quick else FULL)
    baseline = next(timing for contender, timing in timings.items() if contender.name == BASELINE)
    for contender, timing in timings.items():
        row = bench.row(contender, images[contender], "cold-start")
        details = row.details | starts[contender].parts(len(timing.times_ms))
        row = row.with_timing(timing, images[contender], timing.speedup_over(baseline), details=details)
        yield replace(row, images_per_s=None)
