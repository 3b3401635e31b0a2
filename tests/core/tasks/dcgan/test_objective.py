"""The law of portraits from noise: its draws, its penalty, and the step that plays by it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from limner.core.batch import Batch
from limner.core.config import (
    DCGANDiscriminatorConfig,
    DCGANGeneratorConfig,
    DiffAugmentConfig,
    OptimizerConfig,
    PortraitLoss,
)
from limner.core.losses import discriminator_loss, relativistic_loss
from limner.core.networks.init import init_weights
from limner.core.networks.residual import ModernDiscriminator, ModernGenerator
from limner.core.tasks.dcgan.objective import DCGANLaw
from limner.core.training.precision import MixedPrecision
from limner.core.training.step import Phase, TrainingStep, adam

Batches = Callable[..., Batch]
Shared = Literal["bce", "hinge"]
PLAIN = DiffAugmentConfig(colour=False, translation=0.0, cutout=0.0)


def build(loss: PortraitLoss = "relativistic", every: int = 2, **changes: Any) -> TrainingStep:
    generator = ModernGenerator(DCGANGeneratorConfig(latent=8, width=4), 64)
    discriminator = ModernDiscriminator(DCGANDiscriminatorConfig(width=4), 64)
    init_weights(generator, 0, std=None)
    init_weights(discriminator, 1, std=None)
    config = OptimizerConfig(lr=1e-3)
    law = DCGANLaw(loss, 8, 0, DiffAugmentConfig(), r1_weight=1.0, r2_weight=0.5, penalty_interval=every)
    return TrainingStep(
        law,
        Phase("generator", generator, generator, adam(generator, config)),
        Phase("discriminator", discriminator, discriminator, adam(discriminator, config), **changes),
        MixedPrecision("fp32", torch.device("cpu")),
        None,
    )


class Linear(nn.Module):
    """A discriminator whose gradient by the image is known: its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3, 64, 64), 0.01))

    def forward(self, image: Tensor, style: Tensor | None = None) -> Tensor:
        return (image * self.weight).sum(dim=(1, 2, 3))


def test_penalty_is_half_the_squared_gradient_norm(make_batch: Batches) -> None:
    law = DCGANLaw("bce", 8, 0, PLAIN, r1_weight=3.0, r2_weight=1.0, penalty_interval=1)
    batch = make_batch(4)
    loss, stats = law.penalty(Linear(), batch, batch.photo)
    half = 0.5 * 3 * 64 * 64 * 0.01**2
    assert stats["penalty/r1"].item() == pytest.approx(half, rel=1e-4)
    assert stats["penalty/r2"].item() == pytest.approx(half, rel=1e-4)
    assert loss.item() == pytest.approx(4.0 * half, rel=1e-4)


@pytest.mark.parametrize("loss", ["bce", "hinge"])
def test_without_augmentation_the_loss_is_that_of_the_bare_logits(make_batch: Batches, loss: Shared) -> None:
    batch, judge = make_batch(4), Linear()
    found, _ = DCGANLaw(loss, 8, 0, PLAIN).discriminator_loss(judge, batch, batch.photo.flip(3) * 0.5)
    expected = discriminator_loss(loss, judge(batch.photo), judge(batch.photo.flip(3) * 0.5))
    torch.testing.assert_close(found, expected)


def test_a_relativistic_pair_compares_the_two_logits() -> None:
    ahead, behind = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0])
    expected = (torch.log1p(torch.exp(torch.tensor(-2.0))) + torch.log(torch.tensor(2.0))) / 2
    torch.testing.assert_close(relativistic_loss(ahead, behind), expected)


def test_an_image_is_generated_alike_in_any_batch(make_batch: Batches) -> None:
    step = build()
    batch = make_batch(4)
    whole = step.law.generate(step.generator.network, batch)
    part = Batch(batch.photo[2:], None, batch.style[2:], batch.position[2:])
    torch.testing.assert_close(step.law.generate(step.generator.network, part), whole[2:])


def test_the_penalty_comes_every_so_many_steps(make_batch: Batches) -> None:
    step = build(every=2)
    has = ["penalty/r1" in step([make_batch(2)], 2 * number, 2, lr=1e-3) for number in range(1, 5)]
    assert has == [False, True, False, True]


def test_accumulated_halves_equal_one_whole_batch(make_batch: Batches) -> None:
    batch = make_batch(4)
    halves = [Batch(batch.photo[i : i + 2], None, batch.style[i : i + 2], batch.position[i : i + 2]) for i in (0, 2)]
    whole, parts = build(every=1)([batch], 4, 4, lr=1e-3), build(every=1)(halves, 4, 4, lr=1e-3)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name].double(), value.double(), rtol=1e-3, atol=1e-6, msg=name)


def test_two_time_scales_move_the_discriminator_so_much_more(make_batch: Batches) -> None:
    moved = []
    for factor in (1.0, 4.0):
        step = build(lr_factor=factor)
        head = step.discriminator.network.get_parameter("head.weight")
        before = head.detach().clone()
        step([make_batch(2)], 2, 2, lr=1e-4)
        moved.append(head.detach() - before)
    torch.testing.assert_close(moved[1], 4.0 * moved[0], rtol=1e-2, atol=1e-7)


def test_frozen_weights_stay_and_the_others_learn(make_batch: Batches) -> None:
    step = build("bce")  # the other losses start without a gradient for the last bias
    network = step.discriminator.network
    network.get_submodule("stages.0").requires_grad_(False)
    phase = replace(step.discriminator, optimizer=adam(network, OptimizerConfig(lr=1e-2)))
    step = TrainingStep(step.law, step.generator, phase, step.precision, None)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for number in (1, 2):
        step([make_batch(2)], 2 * number, 2, lr=1e-2)
    still = {name for name, weight in network.named_parameters() if torch.equal(weight, before[name])}
    assert still == {"stages.0.weight", "stages.0.bias"}
