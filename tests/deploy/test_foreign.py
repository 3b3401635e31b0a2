"""A generator that other people trained goes the same way: checkpoint, bundle, engine, proof."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.bundle import BundleConfig, save_bundle
from core.foreign import load_junyanz
from deploy.build import BuildOptions, build
from deploy.engine import open_engine

DEPTH, WIDTH = 5, 4
SIDE = 2**DEPTH


def their_checkpoint() -> dict[str, Tensor]:
    """A U-Net's latest_net_G.pth as --norm batch leaves it: names, shapes, running statistics that are of no use."""
    drawn = torch.Generator().manual_seed(0)
    state = {"model.model.3.bias": torch.zeros(3)}
    prefix, outer = "model.model.", 3
    for level in range(DEPTH):
        inner = WIDTH * min(2**level, 8)
        outermost, innermost = level == 0, level == DEPTH - 1
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


def test_an_imported_batch_norm_generator_becomes_a_proven_engine(tmp_path: Path) -> None:
    torch.save(their_checkpoint(), tmp_path / "latest_net_G.pth")
    generator = load_junyanz(tmp_path / "latest_net_G.pth", "batch")
    model, out = tmp_path / "model", tmp_path / "engine"
    save_bundle(model, generator, BundleConfig("pix2pix", SIDE, "stretch", (), generator.config))
    manifest = build(model, out, BuildOptions("openvino", "fp32", (1, 2, 4)), lambda line: None)
    assert isinstance(manifest.parity, dict)
    assert set(manifest.parity["batches"]) == {"1", "2", "4"}
    # Batch statistics at batch 1, as their tests take them: a photo's picture does not hang on those beside it.
    photos = np.random.default_rng(1).uniform(-1.0, 1.0, (4, 3, SIDE, SIDE)).astype(np.float32)
    with open_engine(out) as engine:
        together = engine.infer(photos)
        for index in range(len(photos)):
            alone = generator(torch.from_numpy(photos[index : index + 1])).numpy()
            np.testing.assert_allclose(together[index : index + 1], alone, atol=1e-3)
    assert together.std() > 0.05
