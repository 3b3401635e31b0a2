import pytest

from limner.core.config import OptimizerConfig
from limner.core.training.schedule import due, learning_rate


@pytest.mark.parametrize("step", [1, 3, 7, 100])
def test_due_fires_once_for_each_multiple_or_several_in_one_step(step: int) -> None:
    fired = sum(due(before, before + step, 10) for before in range(0, 100 * step, step))
    assert fired == min(100, 100 * step // 10)


def test_due_is_never_for_zero_and_at_the_multiple_itself() -> None:
    assert not due(0, 1000, 0)
    assert due(9, 10, 10)
    assert not due(10, 11, 10)


def test_learning_rate_is_constant_then_falls_to_zero() -> None:
    config = OptimizerConfig(lr=1.0 / 4, lr_decay_epochs=2)
    rates = [learning_rate(config, seen, epoch_images=10, epochs=4) for seen in (0, 19, 20, 30, 40, 45)]
    assert rates == pytest.approx([0.25, 0.25, 0.25, 0.125, 0.0, 0.0])
    constant = OptimizerConfig(lr=0.25)
    assert learning_rate(constant, 45, epoch_images=10, epochs=4) == 0.25
