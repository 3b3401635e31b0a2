import pytest
import torch
from torch import nn

from limner.core.training.ema import RAMP_UP, Ema


def network(value: float) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(1)
    nn.init.constant_(layer.weight, value)
    layer.running_mean = torch.full((1,), value)
    return layer


@pytest.mark.parametrize("batch_images", [1, 10, 100])
def test_half_of_a_weight_is_gone_after_one_half_life_whatever_the_batch(batch_images: int) -> None:
    ema, target = Ema(network(1.0), halflife_images=100.0), network(0.0)
    seen = 10_000_000  # far past the ramp
    for _ in range(100 // batch_images):
        ema.update(target, seen, batch_images)
    assert ema.network.weight.item() == pytest.approx(0.5, rel=1e-5)  # type: ignore[operator]


def test_early_in_a_run_the_half_life_is_short() -> None:
    ema = Ema(network(1.0), halflife_images=1000.0)
    ema.update(network(0.0), seen_images=100, batch_images=10)
    expected = 0.5 ** (10 / (RAMP_UP * 100))
    assert ema.network.weight.item() == pytest.approx(expected)  # type: ignore[operator]


def test_running_statistics_are_copied() -> None:
    ema = Ema(network(1.0), halflife_images=1000.0)
    ema.update(network(0.25), seen_images=10_000, batch_images=1)
    assert ema.network.running_mean.item() == 0.25  # type: ignore[operator]
