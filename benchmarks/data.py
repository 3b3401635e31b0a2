"""Loader throughput next to torch's DataLoader: `limner bench data`, `python benchmarks/data.py`."""

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from limner.benchmarks.environment import command_line, describe
from limner.benchmarks.harness import QUICK, fix_threads, loop, peak_memory
from limner.benchmarks.results import BenchOptions, Row, save
from limner.core.batch import to_tensor
from limner.core.config import AugmentConfig, require
from limner.core.util.cli import parse
from limner.core.util.errors import UserError, run_command
from limner.core.util.timing import Candidate, TimingBudget, time_interleaved
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic
from limner.data_pipeline.index import load_dataset
from limner.data_pipeline.loading import SampleStream, open_loader
from limner.data_pipeline.reference import augment, read_dataset_image, resample

Format = Literal["jpeg", "png"]

BUDGET = TimingBudget(min_repeats=8, max_repeats=30, seconds=60.0, warm_up=6)
SETTLE_S = 0.3
"""Pause before each timed region, in which the previous loader refills its queue and comes to rest."""
WARM_UP_BATCHES = 6
"""Batches drawn untimed before each timed region, or 2 per worker and 2 more if that is more: more than any loader here
prefetches, so that none has a head start."""
BASELINE = "dataloader-0"


@dataclass(frozen=True)
class Command(BenchOptions):
    """Time loaders on photo-sketch pairs of FS2K's prepared size: decode, crop, flip, normalise."""

    image_size: int = 256
    """Side of the cropped images, in pixels."""
    load_size: int = 286
    """Side of the stored images."""
    batch: tuple[int, ...] = (8,)
    """Pairs per batch."""
    batches: int = 8
    """Batches in a timed region."""
    count: int = 64
    """Pairs in the dataset, which is read again and again."""
    formats: tuple[Format, ...] = ("jpeg", "png")
    """File formats of the stored images."""
    workers: tuple[int, ...] = (0, 1, 2)
    """Worker processes of torch's DataLoader; 0 of them, loading in this process, is the baseline."""


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """The reference loader as a map-style dataset: position -> photo and sketch, (3, S, S) float32 in [-1, 1]."""

    def __init__(self, stream: SampleStream) -> None:
        self.stream = stream

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        stream, change = self.stream, self.stream.augmentation_at(position)
        load_size = stream.augment.resolved_load_size(stream.image_size)
        names = stream.files_at(position)
        images = [
            augment(
                resample(read_dataset_image(stream.root, name), load_size), change, stream, is_photo=name == names[0]
            )
            for name in names
        ]
        photo, sketch = (to_tensor(image[None])[0] for image in images)
        return photo, sketch


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every format and batch size and save the rows."""
    command = parse(Command, arguments, prog="limner bench data")
    require(0 in command.workers, f"workers {' '.join(map(str, command.workers))}: 0 must be among them, the baseline")
    if command.quick:
        count = max(8, *command.batch)
        command = replace(command, count=count, batches=2, image_size=64, load_size=72, workers=(0,))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = fix_threads(command.threads)
    environment = describe(device, threads, command_line("data", arguments))
    save(measure_formats(command, device, environment), command, scale="batch")


def measure_formats(command: Command, device: torch.device, environment: dict[str, Any]) -> Iterator[Row]:
    """Measure every format and batch size."""
    threads = environment["threads"]
    subject = f"{command.image_size} px of {command.load_size}, {command.batches} batches, {threads} threads"
    for form in command.formats:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch) / form
            options = PrepareOptions(size=command.load_size, format=form, val_fraction=0.0)
            import_synthetic(command.count, root, options)
            for batch in command.batch:
                row = Row("data", subject, BASELINE, None, batch, form, environment)
                yield from measure_loaders(command, row, make_stream(command, root, batch, device, threads))


def make_stream(command: Command, root: Path, batch: int, device: torch.device, threads: int) -> SampleStream:
    """Specify the samples that all loaders are to give."""
    return SampleStream(
        root=root,
        records=load_dataset(root).split("train"),
        image_size=command.image_size,
        augment=AugmentConfig(load_size=command.load_size),
        batch_size=batch,
        seed=0,
        rank=0,
        world_size=1,
        start=0,
        device=device,
        threads=threads,
        cache=False,
        paired=True,
    )


def measure_loaders(command: Command, baseline_row: Row, stream: SampleStream) -> list[Row]:
    """Time all loaders, interleaved, on one format and batch size."""
    candidates: dict[str, Candidate] = {}
    memory: dict[str, float | None] = {}
    notes: dict[str, str] = {}
    warm_up_batches = max(WARM_UP_BATCHES, 2 * max(command.workers) + 2)
    openers = loader_openers(command.workers, stream)
    for name, open_batches in openers.items():
        try:
            with peak_memory(torch.device("cpu")) as used:
                batches = open_batches()
                next(batches)
        except UserError as error:
            notes[name] = str(error)
            continue
        candidates[name] = loop(lambda batches=batches: next(batches), command.batches, warm_up_batches)  # type: ignore[misc]
        memory[name] = used.peak_mib
    print(
        f"data, {baseline_row.scenario}, batch {stream.batch_size}: {len(candidates)} loaders, interleaved", flush=True
    )
    timings = time_interleaved(candidates, QUICK if command.quick else BUDGET, settle_s=SETTLE_S)
    images = command.batches * stream.batch_size
    rows = []
    for name in openers:
        row = replace(baseline_row, backend=name, note=notes.get(name))
        if name in timings:
            timing = timings[name]
            rate = 1000.0 * images / timing.percentile(50)
            details = {"images_a_run": images, "pairs_per_s_per_core": rate / row.environment["threads"]}
            speedup = timing.speedup_over(timings[BASELINE])
            row = row.with_timing(timing, images, speedup, details=details, peak_memory_mib=memory[name])
        rows.append(row)
    return rows


def loader_openers(workers: Sequence[int], stream: SampleStream) -> dict[str, Callable[[], Iterator[Any]]]:
    """Name the functions that open each loader: torch's with each number of workers, ours on the CPU and on a GPU."""
    on_cpu = replace(stream, device=torch.device("cpu"))
    openers: dict[str, Callable[[], Iterator[Any]]] = {
        f"dataloader-{number}": lambda number=number: iter(torch_loader(on_cpu, number))  # type: ignore[misc]
        for number in workers
    }
    openers["reference"] = lambda: open_loader("reference", on_cpu)
    openers["dali-cpu"] = lambda: open_loader("dali", on_cpu)
    if stream.device.type == "cuda":
        openers["dali-gpu"] = lambda: open_loader("dali", stream)
    return openers


def torch_loader(stream: SampleStream, workers: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Open torch's DataLoader over the same positions, endless, in `workers` processes (0: in this one)."""
    options: dict[str, Any] = {"multiprocessing_context": "spawn"} if workers else {}
    return DataLoader(Pairs(stream), stream.batch_size, sampler=itertools.count(), num_workers=workers, **options)


if __name__ == "__main__":
    run_command(main)
