"""A generator that other people trained goes the same way: checkpoint, bundle, engine, parity."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limner.core.bundle import BundleConfig, save_bundle
from limner.core.junyanz import load_junyanz
from limner.deploy.build import build
from limner.deploy.engine import open_engine
from limner.deploy.options import BuildOptions

DEPTH, WIDTH = 5, 4
SIDE = 2**DEPTH


def test_an_imported_batch_norm_generator_becomes_an_engine(
    tmp_path: Path, junyanz_checkpoint: Callable[[int, int], dict[str, Tensor]]
) -> None:
    torch.save(junyanz_checkpoint(DEPTH, WIDTH), tmp_path / "latest_net_G.pth")
    generator = load_junyanz(tmp_path / "latest_net_G.pth", "batch")
    model, out = tmp_path / "model", tmp_path / "engine"
    save_bundle(model, generator, BundleConfig("pix2pix", SIDE, "stretch", (), generator.config))
    manifest = build(model, out, BuildOptions("openvino", "fp32", (1, 2, 4)), lambda line: None)
    assert isinstance(manifest.parity, dict)
    assert set(manifest.parity["batches"]) == {"1", "2", "3", "4"}
    # Batch statistics at batch 1, as their tests use them: a photo's image does not depend on the others in its batch.
    photos = np.random.default_rng(1).uniform(-1.0, 1.0, (4, 3, SIDE, SIDE)).astype(np.float32)
    with open_engine(out) as engine:
        together = engine.infer(photos)
        for index in range(len(photos)):
            alone = generator(torch.from_numpy(photos[index : index + 1])).numpy()
            np.testing.assert_allclose(together[index : index + 1], alone, atol=1e-3)
    assert together.std() > 0.05
