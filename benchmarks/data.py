"""How fast the loaders feed a training run, against torch's own DataLoader: `python benchmarks/data.py`."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from limner.benchmarks.environment import describe
from limner.benchmarks.harness import QUICK, Candidate, Effort, fix_threads, measure, peak_memory, stretch
from limner.benchmarks.results import Options, Row, save
from limner.core.batch import to_tensor
from limner.core.config import AugmentConfig, require
from limner.core.util.cli import parse
from limner.core.util.errors import UserError, run_command
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic
from limner.data_pipeline.index import load_dataset
from limner.data_pipeline.loading import SampleStream, open_loader
from limner.data_pipeline.reference import augment, read_dataset_image, resample

Format = Literal["jpeg", "png"]

ROUNDS = Effort(least=8, most=30, seconds=60.0, warm_up=6)
SETTLE_S = 0.3
"""In which the loader of the turn before fills its queue again and comes to rest."""
DRAIN_BATCHES = 6
"""Drawn untimed before each timed region, or 2 for each worker and 2 more where that is more: more than any loader here
prepares ahead, so that none has a start."""
BASELINE = "dataloader-0"


@dataclass(frozen=True)
class Command(Options):
    """Time loaders on photo-sketch pairs of FS2K's prepared size: decode, crop, flip, normalise."""

    image_size: int = 256
    load_size: int = 286
    """Side of the stored images."""
    batch: tuple[int, ...] = (8,)
    batches: int = 8
    """Batches in a timed region."""
    count: int = 64
    """Pairs in the dataset; they are read again and again."""
    formats: tuple[Format, ...] = ("jpeg", "png")
    workers: tuple[int, ...] = (0, 1, 2)
    """Worker processes of torch's DataLoader, of which 0, this process, is the baseline."""


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """The reference loader's work as a map-style dataset: position -> photo and sketch, (3, S, S) float32."""

    def __init__(self, spec: SampleStream) -> None:
        self.spec = spec

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        spec, change = self.spec, self.spec.augmentation_at(position)
        load_size = spec.augment.resolved_load_size(spec.image_size)
        names = spec.files_at(position)
        images = [
            augment(resample(read_dataset_image(spec.root, name), load_size), change, spec, is_photo=name == names[0])
            for name in names
        ]
        photo, sketch = (to_tensor(image[None])[0] for image in images)
        return photo, sketch


def main() -> None:
    """Measure every format and batch size and save the rows."""
    command = parse(Command)
    require(0 in command.workers, f"workers {' '.join(map(str, command.workers))}: 0 must be among them, the baseline")
    if command.quick:
        count = max(8, *command.batch)
        command = replace(command, count=count, batches=2, image_size=64, load_size=72, workers=(0,))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = fix_threads(command.threads)
    save(measure_formats(command, device, threads), command, scale="batch")


def measure_formats(command: Command, device: torch.device, threads: int) -> Iterator[Row]:
    """Every format and batch size."""
    environment = describe(device, threads)
    for form in command.formats:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch) / form
            options = PrepareOptions(size=command.load_size, format=form, val_fraction=0.0)
            import_synthetic(command.count, root, options)
            for batch in command.batch:
                subject = (
                    f"{command.image_size} px of {command.load_size}, {command.batches} batches, {threads} threads"
                )
                row = Row("data", subject, "", "-", batch, form, environment)
                yield from measure_loaders(command, row, make_spec(command, root, batch, device, threads))


def make_spec(command: Command, root: Path, batch: int, device: torch.device, threads: int) -> SampleStream:
    """What all loaders are asked for."""
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


def measure_loaders(command: Command, row: Row, spec: SampleStream) -> list[Row]:
    """All loaders in turns, on one format and batch size."""
    on_cpu = replace(spec, device=torch.device("cpu"))
    makers: dict[str, Callable[[], Iterator[Any]]] = {
        f"dataloader-{workers}": lambda workers=workers: iter(torch_loader(on_cpu, workers))  # type: ignore[misc]
        for workers in command.workers
    }
    makers["reference"] = lambda: open_loader("reference", on_cpu)
    makers["dali-cpu"] = lambda: open_loader("dali", on_cpu)
    if spec.device.type == "cuda":
        makers["dali-gpu"] = lambda: open_loader("dali", spec)
    candidates: dict[str, Candidate] = {}
    memory: dict[str, float | None] = {}
    notes: dict[str, str] = {}
    for name, make in makers.items():
        try:
            with peak_memory(torch.device("cpu")) as used:
                batches = make()
                next(batches)
        except UserError as error:
            notes[name] = str(error)
            continue
        drained = max(DRAIN_BATCHES, 2 * max(command.workers) + 2)
        candidates[name] = stretch(lambda batches=batches: next(batches), command.batches, drained)  # type: ignore[misc]
        memory[name] = used.peak_mib
    print(f"data, {row.scenario}, batch {row.batch}: {len(candidates)} loaders in turns", flush=True)
    timings = measure(candidates, torch.device("cpu"), QUICK if command.quick else ROUNDS, SETTLE_S)
    images = command.batches * row.batch
    rows = []
    for name in makers:
        named = replace(row, backend=name, note=notes.get(name, ""))
        if name in timings:
            timing = timings[name]
            rate = 1000.0 * images / timing.percentile(50)
            details = {"images_a_run": images, "pairs_per_s_per_core": rate / row.environment["threads"]}
            named = named.timed(timing, images, timing.speed_over(timings[BASELINE]), details=details)
            named = replace(named, peak_memory_mib=memory[name])
        rows.append(named)
    return rows


def torch_loader(spec: SampleStream, workers: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """torch's DataLoader over the same positions, endlessly, in `workers` processes (0: in this one)."""
    options: dict[str, Any] = {"multiprocessing_context": "spawn"} if workers else {}
    return DataLoader(Pairs(spec), spec.batch_size, sampler=itertools.count(), num_workers=workers, **options)


if __name__ == "__main__":
    run_command(main)
