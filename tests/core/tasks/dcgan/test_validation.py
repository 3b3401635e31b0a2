"""A generator with one face only is noticed."""

import logging
import math

import pytest
import torch
from torch import Tensor, nn

from limner.core.batch import Batch
from limner.core.networks.config import DCGANDiscriminatorConfig, DCGANGeneratorConfig
from limner.core.networks.residual import ResidualDiscriminator
from limner.core.tasks.dcgan import DCGANTask
from limner.core.tasks.dcgan.config import DCGANConfig
from limner.core.tasks.dcgan.validation import NoiseValidator
from limner.core.util.errors import LimnerError

CONFIG = DCGANConfig(image_size=64, generator=DCGANGeneratorConfig(latent=4), collapse_after_images=100)
DATA = Batch(
    torch.rand(9, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0,
    None,
    torch.zeros(9, dtype=torch.int64),
    torch.arange(9),
)


class Faces(nn.Module):
    """The data's images times `spread` about the first, whatever the latent."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = spread

    def forward(self, latent: Tensor, style: Tensor) -> Tensor:
        assert not self.training
        return DATA.photo[:1] + self.spread * (DATA.photo - DATA.photo[:1])


def validator(stop: bool = False) -> NoiseValidator:
    config = DCGANConfig(image_size=64, generator=CONFIG.generator, collapse_after_images=100, stop_on_collapse=stop)
    discriminator = ResidualDiscriminator(DCGANDiscriminatorConfig(width=4), 64)
    return NoiseValidator(config, DATA, discriminator, torch.device("cpu"))


def test_the_data_itself_is_as_diverse_as_the_data() -> None:
    metrics = validator().evaluate({"generator": Faces(1.0).train()}, 1000)
    assert set(metrics) == set(DCGANTask.metrics)
    assert metrics["diversity/pixels"] == pytest.approx(1.0)
    assert metrics["diversity/features"] == pytest.approx(1.0)
    assert metrics["samples/swd"] == pytest.approx(0.0, abs=1e-3)


def test_a_collapse_warning_has_its_number_and_what_to_try(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="limner"):
        assert validator().evaluate({"generator": Faces(0.2)}, 1000)["diversity/pixels"] == pytest.approx(0.2)
    assert "their diversity is 0.200 of the data's at image 1000, under --collapse-fraction 0.3; try" in caplog.text


def test_collapse_stops_the_run_where_asked_and_never_before_its_time() -> None:
    with pytest.raises(LimnerError, match="the samples have collapsed"):
        validator(stop=True).evaluate({"generator": Faces(0.2)}, 100)
    validator(stop=True).evaluate({"generator": Faces(0.2)}, 99)
    validator(stop=True).evaluate({"generator": Faces(0.5)}, 1000)


@pytest.mark.parametrize("spread", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_collapse(spread: float) -> None:
    metrics = validator(stop=True).evaluate({"generator": Faces(spread)}, 1000)
    assert not math.isfinite(metrics["diversity/pixels"])


def test_the_grid_is_a_square_of_samples() -> None:
    assert validator().sample_grid({"generator": Faces(1.0)}).shape == (3 * 64 + 2 * 4, 3 * 64 + 2 * 4, 3)
