"""A small drawn dataset and runs over it, shared by all tests."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.config import LaunchConfig, PatchGANConfig, Pix2PixConfig, UNetConfig
from core.images import Batch
from core.spec import RunSpec
from data_pipeline.importers.prepare import PrepareOptions
from data_pipeline.importers.synthetic import import_synthetic
from data_pipeline.index import load_dataset


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 drawn pairs of 72 pixels: 11 to train, 2 to validate, 1 to test."""
    out = tmp_path_factory.mktemp("data") / "tiny"
    import_synthetic(14, out, PrepareOptions(size=72, val_fraction=0.15, test_fraction=0.1))
    return out


@pytest.fixture
def tiny_config() -> Pix2PixConfig:
    """Networks that learn at 64 pixels in milliseconds, with everything stateful switched on."""
    return Pix2PixConfig(
        image_size=64,
        epochs=2,
        precision="fp32",
        ema_halflife_images=20.0,
        generator=UNetConfig(width=4, dropout=0.5),
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
