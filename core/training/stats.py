"""Scalars summed on the device and read once per report, and where they go: TensorBoard and metrics.jsonl."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from limner.core.config import flatten
from limner.core.images import Uint8Image
from limner.core.util.files import atomic_write


class Accumulator:
    """Means of named device scalars over the steps since the last report that had them."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps: Counter[str] = Counter()

    def add(self, stats: Mapping[str, Tensor]) -> None:
        """Add one step's scalars; stays on the device."""
        for name, value in stats.items():
            total = self._sums.get(name)
            self._sums[name] = value.detach().double() if total is None else total + value.detach()
            self._steps[name] += 1

    def pop_means(self) -> tuple[list[str], Tensor]:
        """Return names and their means since the last call, as one float64 vector on the device."""
        names = sorted(self._sums)
        means = torch.stack([self._sums[name] / self._steps[name] for name in names])
        self._sums, self._steps = {}, Counter()
        return names, means


class RunWriter:
    """Writes what a run is followed by: metrics.jsonl and tensorboard/. Held by rank 0 only.

    A resumed run first truncates what was written after its checkpoint, so that no point is logged twice.
    """

    def __init__(self, run: Path, seen_images: int) -> None:
        """seen_images: where the run starts or resumes."""
        run.mkdir(parents=True, exist_ok=True)
        self._metrics = run / "metrics.jsonl"
        truncate_metrics(self._metrics, seen_images)
        # purge_step makes TensorBoard drop the points that were rolled back.
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=seen_images + 1)

    def log_scalars(self, values: Mapping[str, float], seen_images: int) -> None:
        """Log one line in metrics.jsonl and one point per name in TensorBoard, at `seen_images`.

        A value that is not finite, such as a gradient that overflowed in fp16, is null: JSON has no infinity.
        """
        line = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"seen_images": seen_images, **line}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, seen_images)

    def log_image(self, name: str, image: Uint8Image, seen_images: int) -> None:
        """Log an image (H, W, 3) uint8 in TensorBoard."""
        self._board.add_image(name, np.asarray(image), seen_images, dataformats="HWC")

    def log_hparams(self, config: Mapping[str, Any]) -> None:
        """Log the run's config as a table under TensorBoard's Text tab."""
        rows = "\n".join(f"| {name} | {value} |" for name, value in flatten(config).items())
        self._board.add_text("config", f"| field | value |\n|---|---|\n{rows}")

    def flush(self) -> None:
        """Write everything to disk."""
        self._board.flush()

    def close(self) -> None:
        """Flush and close the files."""
        self._board.close()


def truncate_metrics(path: Path, seen_images: int) -> None:
    """Drop the lines of a metrics.jsonl after `seen_images`, and a line that a crash left unfinished."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["seen_images"] <= seen_images:
                kept.append(line)
        except ValueError:
            continue
    with atomic_write(path) as tmp_path:
        tmp_path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
