"""A training run in processes of its own, observed through its metrics.jsonl."""

import contextlib
import json
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from limner.core.util.errors import LimnerError

POLL_S = 0.02
MIN_REPORTS = 2
"""The first and the last report of a run, which do not count."""


@dataclass(frozen=True)
class RunTimes:
    """What the reports of a run show."""

    startup_s: float
    """From the command to the first report, less the time of the steps in it at the steady rate."""
    images_per_s: tuple[float, ...]
    """Of the reports except the first, which includes warm-up, and the last, before which the run saves."""


def time_run(command: list[str], run: Path) -> RunTimes:
    """Train in the directory `run` until the end; LimnerError with the end of the output if it fails."""
    first: float | None = None
    start = time.perf_counter()
    with training_process(command, run) as process:
        while process.poll() is None:
            if first is None and read_reports(run):
                first = time.perf_counter() - start
            time.sleep(POLL_S)
    reports = read_reports(run)
    assert first is not None
    rates = tuple(report["images_per_s"] for report in reports[1:-1])
    return RunTimes(first - reports[0]["seen_images"] / statistics.median(rates), rates)


@contextlib.contextmanager
def training_process(command: list[str], run: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a training process, and stop it with SIGTERM if it outlives the block.

    Raises LimnerError with the end of its output if it fails.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*command, "--run", str(run)], stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait()
        if process.returncode:
            output.seek(0)
            raise LimnerError(f"a training run failed: {output.read().decode(errors='replace').strip()[-500:]}")


def read_reports(run: Path) -> list[dict[str, float]]:
    """Read the complete lines of a run's metrics.jsonl so far."""
    metrics = run / "metrics.jsonl"
    if not metrics.exists():
        return []
    return [json.loads(line) for line in metrics.read_text(encoding="utf-8").split("\n")[:-1]]


def wait_for_report(process: "subprocess.Popen[bytes]", run: Path, beyond: float) -> dict[str, float]:
    """Wait for the first report on more than `beyond` images; LimnerError if the run ends without one."""
    while True:
        ended = process.poll() is not None
        for report in read_reports(run):
            if report["seen_images"] > beyond:
                return report
        if ended:
            raise LimnerError(f"the run ended before it reported more than {beyond:g} images")
        time.sleep(POLL_S)


def find_ray_worker(driver: int) -> int:
    """Find the process number of a Ray Train worker descended from the process `driver`, by the title Ray gives it."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended in the meantime
            if b"TrainWorker" in (path / "cmdline").read_bytes() and driver in ancestors(int(path.name)):
                return int(path.name)
    raise LimnerError(
        "no Ray Train worker of the run is on this machine: unset RAY_ADDRESS, so that it starts one here"
    )


def ancestors(process: int) -> list[int]:
    """List the process numbers of a process's ancestors, its parent first."""
    found = []
    while process > 1:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
        process = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
        found.append(process)
    return found
