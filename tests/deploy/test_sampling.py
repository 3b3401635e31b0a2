"""A sample is a function of seed and number; interpolation visits its stops."""

import numpy as np
import pytest
import torch

from limner.core.bundle import BundleConfig
from limner.core.networks.config import DCGANGeneratorConfig, UNetConfig
from limner.core.networks.init import init_weights
from limner.core.networks.residual import ResidualGenerator
from limner.core.util.errors import UserError
from limner.deploy.sampling import draw_latents, draw_styles, generate, generator_config, tour

CONFIG = DCGANGeneratorConfig(latent=9, width=4, styles=3)


def pictures(batch_size: int, count: int = 7) -> np.ndarray:
    generator = ResidualGenerator(CONFIG, 64)
    init_weights(generator, 0, std=None)
    latents, styles = draw_latents(CONFIG, 5, count), draw_styles(CONFIG, count, None)
    batches = generate(generator, latents, styles, batch_size, torch.device("cpu"))
    return np.stack([picture for batch in batches for picture in batch])


def test_pixels_do_not_depend_on_the_batch_or_the_count() -> None:
    together = pictures(batch_size=7)
    assert together.shape == (7, 64, 64, 3)
    assert together.dtype == np.uint8
    for batch_size in (1, 3):
        assert np.array_equal(pictures(batch_size), together)
    assert np.array_equal(pictures(batch_size=2, count=4), together[:4])


def test_a_tour_starts_at_each_stop_and_keeps_its_distance() -> None:
    stops = torch.randn(3, 200, generator=torch.Generator().manual_seed(0))
    walk = tour(stops, steps=5)
    assert walk.shape == (15, 200)
    torch.testing.assert_close(walk[::5], stops, rtol=1e-4, atol=1e-4)
    lengths = walk.norm(dim=1) / 200**0.5
    assert 0.8 < lengths.min() < lengths.max() < 1.2
    steps = (walk.roll(-1, 0) - walk).norm(dim=1)
    assert steps.max() < 1.6 * steps.min()


def test_styles_come_in_turn_or_as_asked() -> None:
    assert draw_styles(CONFIG, 4, None).tolist() == [0, 1, 2, 0]
    assert draw_styles(CONFIG, 2, 1).tolist() == [1, 1]
    with pytest.raises(UserError, match=r"style 3: the model has no such style \(allowed: 0 to 2\)"):
        draw_styles(CONFIG, 2, 3)
    with pytest.raises(UserError, match="trained without --condition"):
        draw_styles(DCGANGeneratorConfig(), 2, 0)


def test_a_model_of_another_task_is_refused() -> None:
    config = BundleConfig("pix2pix", 64, "pad", (), UNetConfig(depth=6))
    with pytest.raises(UserError, match="a pix2pix model draws nothing from noise"):
        generator_config(config)
