"""The step against the plain way of doing the same, and what it promises to its callers."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limner.core.batch import Batch
from limner.core.networks.config import Norm, PatchGANConfig, UNetConfig
from limner.core.networks.init import init_weights
from limner.core.networks.patchgan import PatchGAN
from limner.core.networks.unet import UNet
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.tasks.pix2pix.objective import Pix2PixObjective
from limner.core.training.step import TrainingStep

Batches = Callable[..., Batch]
Build = Callable[..., TrainingStep]


@pytest.fixture
def build(make_step: Callable[..., TrainingStep]) -> Build:
    def make(norm: Norm = "instance", joint_pass: bool = True, ema: bool = False) -> TrainingStep:
        generator = UNet(UNetConfig(width=4, depth=4, norm=norm))
        discriminator = PatchGAN(PatchGANConfig(width=4, layers=2, norm=norm))
        init_weights(generator, 0)
        init_weights(discriminator, 1)
        objective = Pix2PixObjective(Pix2PixConfig(discriminator=PatchGANConfig(norm=norm)), torch.device("cpu"))
        objective.joint_pass = joint_pass
        return make_step(objective, generator, discriminator, ema_images=100.0 if ema else None)

    return make


def run(step: TrainingStep, *batches: Batch, seen: int = 2) -> dict[str, torch.Tensor]:
    return step(batches, seen, 2, lr=1e-2)


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def plain_step(step: TrainingStep, batch: Batch) -> None:
    """One pix2pix step as its PyTorch port writes it: D first on detached fakes, then G through a fresh D pass."""
    generator, discriminator = (step.networks[name].network for name in ("generator", "discriminator"))
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.5, 0.999)) for net in (generator, discriminator)]
    assert batch.sketch is not None
    fake = generator(batch.photo)
    real_logits = discriminator(batch.photo, batch.sketch).logits[0]
    fake_logits = discriminator(batch.photo, fake.detach()).logits[0]
    bce = F.binary_cross_entropy_with_logits
    loss = 0.5 * (bce(real_logits, torch.ones_like(real_logits)) + bce(fake_logits, torch.zeros_like(fake_logits)))
    loss.backward()
    optimizers[1].step()
    fake_logits = discriminator(batch.photo, fake).logits[0]
    loss = bce(fake_logits, torch.ones_like(fake_logits)) + 100.0 * F.l1_loss(fake, batch.sketch)
    generator.zero_grad()
    loss.backward()
    optimizers[0].step()


@pytest.mark.parametrize(("norm", "joint_pass"), [("instance", True), ("instance", False), ("batch", False)])
def test_step_equals_the_plain_step(make_batch: Batches, build: Build, norm: Norm, joint_pass: bool) -> None:
    step, plain = build(norm, joint_pass), build(norm, joint_pass)
    batch = make_batch()
    run(step, batch)
    plain_step(plain, batch)
    for name in ("generator", "discriminator"):
        # Adam's first step is lr * sign(gradient): where a gradient is rounding noise about 0, the sign is free.
        off = (weights(step.networks[name].network) - weights(plain.networks[name].network)).abs()
        assert (off > 1e-5).float().mean() < 1e-3


def test_accumulated_halves_equal_one_whole_batch(make_batch: Batches, build: Build) -> None:
    whole, halves = build(), build()
    batch = make_batch(4)
    assert batch.sketch is not None
    parts = [
        Batch(batch.photo[i : i + 2], batch.sketch[i : i + 2], batch.style[i : i + 2], batch.position[i : i + 2])
        for i in (0, 2)
    ]
    stats, accumulated = run(whole, batch), run(halves, *parts)
    for name, value in stats.items():
        torch.testing.assert_close(accumulated[name].double(), value.double(), rtol=1e-4, atol=1e-6)


def test_every_phase_trains_its_own_network_only(make_batch: Batches, build: Build) -> None:
    step = build()
    generator, discriminator = step.networks["generator"], step.networks["discriminator"]
    before = [weights(generator.network), weights(discriminator.network)]
    generator.optimizer.step = lambda: None  # type: ignore[method-assign, assignment]
    run(step, make_batch())
    assert torch.equal(before[0], weights(generator.network))
    assert not torch.equal(before[1], weights(discriminator.network))


def test_average_follows_the_generator_more_slowly(make_batch: Batches, build: Build) -> None:
    step = build(ema=True)
    average = step.averages["generator"].network
    start = weights(average)
    run(step, make_batch(), seen=10_000)
    moved, averaged = weights(step.networks["generator"].network) - start, weights(average) - start
    torch.testing.assert_close(averaged, moved * (1 - 0.5 ** (2 / 100)), rtol=1e-2, atol=1e-7)


def test_a_non_finite_image_is_named_by_its_count_even_when_later_steps_are_fine(
    make_batch: Batches, build: Build
) -> None:
    step = build()
    run(step, make_batch(), seen=2)
    assert step.first_non_finite().item() == float("inf")
    good = copy.deepcopy(step.networks["generator"].network.state_dict())
    bad = make_batch()
    bad.photo[0, 0, 0, 0] = float("nan")
    run(step, bad, seen=4)
    step.networks["generator"].network.load_state_dict(good)
    run(step, make_batch(), seen=6)
    assert step.first_non_finite().item() == 4.0


def test_step_never_asks_the_device_for_a_value(
    make_batch: Batches, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU each of these would wait for the device."""
    step = build(ema=True)
    run(step, make_batch())

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("the step read a tensor's value")

    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, forbidden)
    run(step, make_batch())
