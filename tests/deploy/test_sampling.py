"""A sample is a function of seed and index; interpolation visits its latents."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limner.core.bundle import BundleConfig, save_bundle
from limner.core.networks.config import DCGANGeneratorConfig
from limner.core.networks.init import init_weights
from limner.core.util.errors import UserError
from limner.deploy.load import load
from limner.deploy.sampling import Sampler, slerp_loop

STYLES = ("ink", "chalk", "wash")


@pytest.fixture(scope="module")
def samplers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sampler]:
    """One without styles and one with three, with random weights."""
    found = {}
    for name, styles in (("plain", ()), ("styled", STYLES)):
        directory = tmp_path_factory.mktemp(name) / "model"
        config = BundleConfig(
            "dcgan", 64, "stretch", styles, DCGANGeneratorConfig(latent=9, width=4, styles=len(styles))
        )
        generator = config.build()
        init_weights(generator, 0, std=None)
        save_bundle(directory, generator, config)
        sampler = load(directory, device="cpu")
        assert isinstance(sampler, Sampler)
        found[name] = sampler
    return found


def pixels(images: list[Image.Image]) -> Any:
    return np.stack([np.asarray(image) for image in images])


def test_pixels_do_not_depend_on_the_batch_or_the_count(samplers: dict[str, Sampler]) -> None:
    sample = samplers["styled"]
    together = pixels(sample(7, seed=5, batch_size=7))
    assert together.shape == (7, 64, 64, 3)
    assert together.dtype == np.uint8
    for batch_size in (1, 3):
        assert np.array_equal(pixels(sample(7, seed=5, batch_size=batch_size)), together)
    assert np.array_equal(pixels(sample(4, seed=5, batch_size=2)), together[:4])


def test_seed_truncation_and_style_change_samples(samplers: dict[str, Sampler]) -> None:
    sample = samplers["styled"]
    variants = [sample(2), sample(2, seed=1), sample(2, truncation=0.5), sample(2, style="wash")]
    assert len({pixels(images).tobytes() for images in variants}) == 4
    assert np.array_equal(pixels(sample(2, style=2)), pixels(variants[3]))


def test_a_loop_starts_at_each_latent_and_keeps_its_distance() -> None:
    latents = torch.randn(3, 200, generator=torch.Generator().manual_seed(0))
    loop = slerp_loop(latents, steps=5)
    assert loop.shape == (15, 200)
    torch.testing.assert_close(loop[::5], latents, rtol=1e-4, atol=1e-4)
    lengths = loop.norm(dim=1) / 200**0.5
    assert 0.8 < lengths.min() < lengths.max() < 1.2
    steps = (loop.roll(-1, 0) - loop).norm(dim=1)
    assert steps.max() < 1.6 * steps.min()


def test_styles_come_in_turn_or_as_chosen(samplers: dict[str, Sampler]) -> None:
    styled = samplers["styled"]
    assert styled.choose_styles(4) == [0, 1, 2, 0]
    assert styled.choose_styles(2, "chalk") == styled.choose_styles(2, 1) == [1, 1]
    assert samplers["plain"].choose_styles(3) is None
    for style in (3, -1, True, 1.0, "pen"):
        with pytest.raises(UserError, match=r"style .*: must be one of 0 \(ink\), 1 \(chalk\), 2 \(wash\)"):
            styled.choose_styles(2, style)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="was trained without styles, leave it out"):
        samplers["plain"].choose_styles(2, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count 0: must be a whole number of at least 1"),
        ({"count": 2.0}, "count 2.0: must be a whole number"),
        ({"count": True}, "count True: must be a whole number"),
        ({"seed": -1}, "seed -1: must be a whole number of at least 0"),
        ({"truncation": 0.0}, "truncation 0.0: must be over 0"),
        ({"truncation": float("nan")}, "truncation nan: must be over 0"),
        ({"batch_size": 0}, "batch-size 0: must be at least 1"),
    ],
)
def test_wrong_options_are_refused(samplers: dict[str, Sampler], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        samplers["plain"](**{"count": 1, **options})


def test_a_sampler_says_what_it_is(samplers: dict[str, Sampler]) -> None:
    assert repr(samplers["styled"]).endswith(f"model', image_size=64, styles={STYLES})")
    assert repr(samplers["plain"]).startswith("Sampler('")


def test_a_bundle_is_exact_to_float32(samplers: dict[str, Sampler]) -> None:
    """float64 inside changes no more than rounding."""
    sampler = samplers["plain"]
    latents = sampler.sample_latents(3)
    from limner.core.batch import to_images
    from limner.core.bundle import load_generator

    with torch.no_grad():
        expected = to_images(load_generator(Path(sampler.name))(latents))
    assert np.abs(np.stack(list(sampler.generate(latents))).astype(int) - expected).max() <= 1
