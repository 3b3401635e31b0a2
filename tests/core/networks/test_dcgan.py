"""Portrait networks: sizes as published, shapes, batches that do not matter, conditions that do."""

from typing import Any

import pytest
import torch
from torch import nn

from limner.core.networks.config import Architecture, DCGANDiscriminatorConfig, DCGANGeneratorConfig
from limner.core.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from limner.core.networks.init import init_weights
from limner.core.networks.residual import ResidualDiscriminator, ResidualGenerator

GENERATORS: dict[Architecture, Any] = {"paper": DCGANGenerator, "modern": ResidualGenerator}
DISCRIMINATORS: dict[Architecture, Any] = {"paper": DCGANDiscriminator, "modern": ResidualDiscriminator}


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("size", "width", "generator", "discriminator"),
    [(64, 64, 3_576_704, 2_765_568), (256, 16, 3.62e6, 2.80e6), (256, 64, 48.0e6, 44.7e6)],
)
def test_the_papers_networks_have_their_published_sizes(
    size: int, width: int, generator: float, discriminator: float
) -> None:
    """At 64 pixels those of the PyTorch examples' DCGAN, exactly; at 256 its extension by two stages."""
    with torch.device("meta"):
        ours = DCGANGenerator(DCGANGeneratorConfig("paper", width=width), size)
        theirs = DCGANDiscriminator(DCGANDiscriminatorConfig("paper", width=width), size)
    tolerance = 0.0 if size == 64 else 5e-3
    assert count(ours) == pytest.approx(generator, rel=tolerance)
    assert count(theirs) == pytest.approx(discriminator, rel=tolerance)


@pytest.mark.parametrize("architecture", ["paper", "modern"])
@pytest.mark.parametrize("size", [64, 128, 256])
def test_shapes_at_every_size(architecture: Architecture, size: int) -> None:
    generator = GENERATORS[architecture](DCGANGeneratorConfig(architecture, latent=7, width=2), size)
    discriminator = DISCRIMINATORS[architecture](DCGANDiscriminatorConfig(architecture, width=2), size)
    images = generator(torch.randn(2, 7))
    assert images.shape == (2, 3, size, size)
    assert images.abs().max() <= 1.0
    assert discriminator(images).shape == (2,)
    assert discriminator.features(images).shape[0] == 2


def test_modern_images_do_not_depend_on_their_batch() -> None:
    generator = ResidualGenerator(DCGANGeneratorConfig(latent=7, width=4), 64)
    init_weights(generator, 0, std=None)
    latents = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    together, alone = generator(latents), torch.cat([generator(latents[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_modern_activations_keep_their_size_with_first_weights() -> None:
    """So that fp16 holds them and no layer is dead: images neither flat nor all black and white, logits near 0."""
    for size in (64, 256):
        generator = ResidualGenerator(DCGANGeneratorConfig(width=16), size)
        discriminator = ResidualDiscriminator(DCGANDiscriminatorConfig(width=16), size)
        init_weights(generator, 0, std=None)
        init_weights(discriminator, 1, std=None)
        images = generator(torch.randn(4, 100, generator=torch.Generator().manual_seed(0)))
        assert 0.2 < images.std() < 0.9
        assert discriminator(images).abs().max() < 5.0


@pytest.mark.parametrize("architecture", ["paper", "modern"])
def test_a_condition_changes_image_and_judgement(architecture: Architecture) -> None:
    generator = GENERATORS[architecture](DCGANGeneratorConfig(architecture, latent=7, width=4, styles=2), 64).eval()
    discriminator = DISCRIMINATORS[architecture](DCGANDiscriminatorConfig(architecture, width=4), 64, styles=2).eval()
    latent, styles = torch.randn(1, 7).expand(2, 7), torch.tensor([0, 1])
    images = generator(latent, styles)
    assert not torch.equal(images[0], images[1])
    logits = discriminator(images[:1].expand(2, -1, -1, -1), styles)
    assert logits[0] != logits[1]
    with pytest.raises(ValueError, match="needs a style of 0 to 1"):
        generator(latent)
