"""A small drawn dataset and runs over it, shared by all tests."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from limner.core.batch import Batch
from limner.core.config import LaunchConfig
from limner.core.networks.config import PatchGANConfig, UNetConfig
from limner.core.spec import RunSpec
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.util.log import log, show_log
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic
from limner.data_pipeline.index import load_dataset


@pytest.fixture(autouse=True)
def shown_log() -> Iterator[None]:
    """What Limner logs is on the console, as in a command."""
    before = log.handlers[:]
    show_log()
    yield
    log.handlers = before


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 drawn pairs of 72 pixels: 11 to train, 2 to validate, 1 to test."""
    out = tmp_path_factory.mktemp("data") / "tiny"
    import_synthetic(14, out, PrepareOptions(size=72, val_fraction=0.15, test_fraction=0.1))
    return out


@pytest.fixture(autouse=True)
def _same_log_after() -> Iterator[None]:
    """A command that a test runs in this process shows the log; the next test finds it as before."""
    before = log.handlers, log.level
    yield
    log.handlers, log.level = before


@pytest.fixture
def tiny_config() -> Pix2PixConfig:
    """Networks that learn at 64 pixels in milliseconds, with everything stateful switched on."""
    return Pix2PixConfig(
        image_size=64,
        epochs=2,
        precision="fp32",
        ema_halflife_images=20.0,
        generator=UNetConfig(width=4, dropout=0.5, styles=0),
        discriminator=PatchGANConfig(width=4, layers=2),
    )


@pytest.fixture
def make_spec(tmp_path: Path, tiny_data: Path, tiny_config: Pix2PixConfig) -> Callable[..., RunSpec]:
    """A run over the tiny data in tmp_path/NAME; keywords change fields of its config, `launch` its launch."""

    def make(name: str, launch: LaunchConfig | None = None, **changes: Any) -> RunSpec:
        launch = launch or LaunchConfig(launcher="local", cpus_per_worker=1)
        config = replace(tiny_config, **changes)
        data_hash = load_dataset(tiny_data).content_hash
        return RunSpec("pix2pix", "test", config, launch, tmp_path / name, tiny_data, data_hash)

    return make


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """Random images of a seed as a batch."""

    def make(count: int = 2, size: int = 64, seed: int = 0) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        photo, sketch = torch.rand(2, count, 3, size, size, generator=generator) * 2.0 - 1.0
        return Batch(photo, sketch, torch.arange(count) % 3, torch.arange(count))

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def junyanz_checkpoint() -> Callable[[int, int], dict[str, Tensor]]:
    """(depth, width) -> a U-Net's latest_net_G.pth as --norm batch leaves it: names, shapes, useless statistics."""

    def make(depth: int, width: int) -> dict[str, Tensor]:
        drawn = torch.Generator().manual_seed(0)
        state = {"model.model.3.bias": torch.zeros(3)}
        prefix, outer = "model.model.", 3
        for level in range(depth):
            inner = width * min(2**level, 8)
            outermost, innermost = level == 0, level == depth - 1
            up = 3 if outermost or innermost else 5
            convolutions = {0 if outermost else 1: (inner, outer), up: (inner if innermost else 2 * inner, outer)}
            norms = ({} if outermost else {up + 1: outer}) | ({} if outermost or innermost else {2: inner})
            for number, channels in convolutions.items():
                state[f"{prefix}{number}.weight"] = torch.randn(*channels, 4, 4, generator=drawn) * 0.1
            for number, size in norms.items():
                state[f"{prefix}{number}.weight"] = torch.rand(size, generator=drawn) + 0.5
                state[f"{prefix}{number}.bias"] = torch.randn(size, generator=drawn) * 0.1
                state[f"{prefix}{number}.running_mean"] = torch.full((size,), 100.0)
                state[f"{prefix}{number}.running_var"] = torch.full((size,), 1e-4)
                state[f"{prefix}{number}.num_batches_tracked"] = torch.tensor(7)
            prefix, outer = prefix + ("1.model." if outermost else "3.model."), inner
        return state

    return make
