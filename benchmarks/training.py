"""What train.py and scaling.py share: the networks that they train, data to train on, and a worker's training state."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from limner.core.batch import Batch
from limner.core.config import AugmentConfig, Precision
from limner.core.networks.config import PatchGANConfig, UNetConfig
from limner.core.tasks import TASKS
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.training.state import TrainingState
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic
from limner.data_pipeline.index import Dataset, load_dataset
from limner.distributed.context import WorkerContext
from limner.distributed.worker import build_model, build_state, resolve


def pix2pix_config(
    width: int, image_size: int, batch: int = 1, precision: Precision = "fp32", compiled: bool = False
) -> Pix2PixConfig:
    """Configure the paper's networks with instance norm, `width` channels in the first layer, and no EMA."""
    return Pix2PixConfig(
        image_size=image_size,
        batch_size=batch,
        precision=precision,
        compile=compiled,
        generator=UNetConfig(width=width, styles=0),
        discriminator=PatchGANConfig(width=width),
    )


@contextmanager
def synthetic_dataset(image_size: int, count: int) -> Iterator[Dataset]:
    """Render a temporary dataset of `count` portraits of the size that a run at `image_size` loads."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "synthetic"
        import_synthetic(count, root, PrepareOptions(size=AugmentConfig().resolved_load_size(image_size)))
        yield load_dataset(root)


def build_worker_state(config: Pix2PixConfig, dataset: Dataset, device: torch.device, threads: int) -> TrainingState:
    """Build the training state of a run's only worker, without starting the run."""
    context = WorkerContext(0, 1, device, threads, threading.Event(), lambda progress: None)
    task = TASKS["pix2pix"]
    resolved, dataset = resolve(task, config, dataset)
    return build_state(resolved, build_model(task, resolved, dataset, device), context)


def random_batch(config: Pix2PixConfig, count: int, device: torch.device) -> Batch:
    """Make a batch of `count` pairs of uniform noise in [-1, 1] on the device."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, count, 3, config.image_size, config.image_size, generator=generator) * 2.0 - 1.0
    photo, sketch = images.to(device)
    return Batch(photo, sketch, torch.zeros(count, dtype=torch.int64, device=device), torch.arange(count))
