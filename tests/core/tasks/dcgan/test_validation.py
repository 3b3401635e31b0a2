"""A generator with one face only is found out."""

import logging
import math

import pytest
import torch
from torch import Tensor, nn

from limner.core.batch import Batch
from limner.core.config import DCGANConfig, DCGANDiscriminatorConfig, DCGANGeneratorConfig
from limner.core.networks.residual import ModernDiscriminator
from limner.core.tasks.dcgan.validation import NoiseWatcher
from limner.core.util.errors import LimnerError

CONFIG = DCGANConfig(image_size=64, generator=DCGANGeneratorConfig(latent=4), collapse_after_images=100)
DATA = Batch(
    torch.rand(9, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0,
    None,
    torch.zeros(9, dtype=torch.int64),
    torch.arange(9),
)


class Faces(nn.Module):
    """The data's pictures times `spread` about the first, whatever the latent."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = spread

    def forward(self, latent: Tensor, style: Tensor) -> Tensor:
        assert not self.training
        return DATA.photo[:1] + self.spread * (DATA.photo - DATA.photo[:1])


def watcher(stop: bool = False) -> NoiseWatcher:
    config = DCGANConfig(image_size=64, generator=CONFIG.generator, collapse_after_images=100, stop_on_collapse=stop)
    judge = ModernDiscriminator(DCGANDiscriminatorConfig(width=4), 64)
    return NoiseWatcher(config, DATA, judge, torch.device("cpu"))


def test_the_data_itself_is_as_diverse_as_the_data() -> None:
    figures = watcher().evaluate(Faces(1.0).train(), 1000)
    assert figures["diversity/pixels"] == pytest.approx(1.0)
    assert figures["diversity/features"] == pytest.approx(1.0)
    assert figures["samples/swd"] == pytest.approx(0.0, abs=1e-3)


def test_collapse_is_told_with_its_number_and_what_to_try(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="limner"):
        assert watcher().evaluate(Faces(0.2), 1000)["diversity/pixels"] == pytest.approx(0.2)
    assert "their diversity is 0.200 of the data's at image 1000, under --collapse-fraction 0.3; try" in caplog.text


def test_collapse_stops_the_run_where_asked_and_never_before_its_time() -> None:
    with pytest.raises(LimnerError, match="the samples have collapsed"):
        watcher(stop=True).evaluate(Faces(0.2), 100)
    watcher(stop=True).evaluate(Faces(0.2), 99)
    watcher(stop=True).evaluate(Faces(0.5), 1000)


@pytest.mark.parametrize("spread", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_collapse(spread: float) -> None:
    figures = watcher(stop=True).evaluate(Faces(spread), 1000)
    assert not math.isfinite(figures["diversity/pixels"])


def test_the_sheet_is_a_square_of_samples() -> None:
    assert watcher().samples(Faces(1.0)).shape == (3 * 64 + 2 * 4, 3 * 64 + 2 * 4, 3)
