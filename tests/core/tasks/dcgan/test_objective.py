"""The objective of portraits from noise: its random numbers, its penalty, and steps by it."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from limner.core.batch import Batch
from limner.core.config import DiffAugmentConfig, OptimizerConfig
from limner.core.losses import GanLoss, discriminator_loss, generator_loss
from limner.core.networks.config import DCGANDiscriminatorConfig, DCGANGeneratorConfig
from limner.core.networks.init import init_weights
from limner.core.networks.residual import ResidualDiscriminator, ResidualGenerator
from limner.core.tasks.dcgan.config import DCGANConfig
from limner.core.tasks.dcgan.objective import DCGANObjective
from limner.core.training.step import TrainedNetwork, TrainingStep, adam

Batches = Callable[..., Batch]
Build = Callable[..., TrainingStep]
PLAIN = DiffAugmentConfig(colour=False, translation=0.0, cutout=0.0)


def objective(**changes: Any) -> DCGANObjective:
    return DCGANObjective(DCGANConfig(generator=DCGANGeneratorConfig(latent=8, width=4), **changes))


@pytest.fixture
def build(make_step: Callable[..., TrainingStep]) -> Build:
    def make(loss: GanLoss = "relativistic", every: int = 2, factor: float = 1.0) -> TrainingStep:
        generator = ResidualGenerator(DCGANGeneratorConfig(latent=8, width=4), 64)
        discriminator = ResidualDiscriminator(DCGANDiscriminatorConfig(width=4), 64)
        init_weights(generator, 0, std=None)
        init_weights(discriminator, 1, std=None)
        optimizer = OptimizerConfig(discriminator_lr_factor=factor)
        regularised = {"r1_weight": 1.0, "r2_weight": 0.5, "penalty_interval": every}
        return make_step(objective(gan_loss=loss, optimizer=optimizer, **regularised), generator, discriminator)

    return make


class Linear(nn.Module):
    """A discriminator whose gradient by the image is known: its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3, 64, 64), 0.01))

    def forward(self, image: Tensor, style: Tensor | None = None) -> Tensor:
        return (image * self.weight).sum(dim=(1, 2, 3))


def test_penalty_is_half_the_squared_gradient_norm(make_batch: Batches) -> None:
    batch, networks = make_batch(4), {"discriminator": Linear()}
    loss, stats = objective(diff_augment=PLAIN, r1_weight=3.0, r2_weight=1.0).gradient_penalty(
        networks, batch, batch.photo
    )
    half = 0.5 * 3 * 64 * 64 * 0.01**2
    assert stats["penalty/r1"].item() == pytest.approx(half, rel=1e-4)
    assert stats["penalty/r2"].item() == pytest.approx(half, rel=1e-4)
    assert loss.item() == pytest.approx(4.0 * half, rel=1e-4)


@pytest.mark.parametrize("loss", get_args(GanLoss))
def test_without_augmentation_the_loss_is_that_of_the_plain_logits(make_batch: Batches, loss: GanLoss) -> None:
    batch, discriminator = make_batch(4), Linear()
    real, fake = batch.photo, batch.photo.flip(3) * 0.5
    plain = objective(gan_loss=loss, diff_augment=PLAIN)
    found, _ = plain.discriminator_loss({"discriminator": discriminator}, batch, fake)
    torch.testing.assert_close(found, discriminator_loss(loss, discriminator(real), discriminator(fake)))
    found, _ = plain.generator_loss({"discriminator": discriminator}, batch, fake)
    torch.testing.assert_close(found, generator_loss(loss, discriminator(real), discriminator(fake)))


def test_an_image_is_generated_alike_in_any_batch(make_batch: Batches, build: Build) -> None:
    step = build()
    batch = make_batch(4)
    networks = {"generator": step.networks["generator"].network}
    whole = step.objective.generate(networks, batch)
    part = Batch(batch.photo[2:], None, batch.style[2:], batch.position[2:])
    torch.testing.assert_close(step.objective.generate(networks, part), whole[2:])


def test_the_penalty_comes_at_its_interval(make_batch: Batches, build: Build) -> None:
    step = build(every=2)
    has = ["penalty/r1" in step([make_batch(2)], 2 * number, 2, lr=1e-3) for number in range(1, 5)]
    assert has == [False, True, False, True]


def test_accumulated_halves_equal_one_whole_batch(make_batch: Batches, build: Build) -> None:
    batch = make_batch(4)
    halves = [Batch(batch.photo[i : i + 2], None, batch.style[i : i + 2], batch.position[i : i + 2]) for i in (0, 2)]
    whole, parts = build(every=1)([batch], 4, 4, lr=1e-3), build(every=1)(halves, 4, 4, lr=1e-3)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name].double(), value.double(), rtol=1e-3, atol=1e-6, msg=name)


def test_two_time_scales_move_the_discriminator_by_their_factor(make_batch: Batches, build: Build) -> None:
    moved = []
    for factor in (1.0, 4.0):
        step = build(factor=factor)
        head = step.networks["discriminator"].network.get_parameter("head.weight")
        before = head.detach().clone()
        step([make_batch(2)], 2, 2, lr=1e-4)
        moved.append(head.detach() - before)
    torch.testing.assert_close(moved[1], 4.0 * moved[0], rtol=1e-2, atol=1e-7)


def test_frozen_weights_stay_and_the_others_learn(make_batch: Batches, build: Build) -> None:
    step = build("bce")  # the relativistic loss starts without a gradient for the last bias
    network = step.networks["discriminator"].network
    network.get_submodule("stages.0").requires_grad_(False)
    trained = TrainedNetwork(network, network, adam(network, OptimizerConfig(lr=1e-2)))
    step = TrainingStep(step.objective, {**step.networks, "discriminator": trained}, step.precision, {})
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for number in (1, 2):
        step([make_batch(2)], 2 * number, 2, lr=1e-2)
    still = {name for name, weight in network.named_parameters() if torch.equal(weight, before[name])}
    assert still == {"stages.0.weight", "stages.0.bias"}
