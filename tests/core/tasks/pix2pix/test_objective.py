"""The terms of the generator's loss: off by default, right when on, and none of them trains the discriminator."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.core.batch import Batch
from limner.core.config import DiffAugmentConfig
from limner.core.losses import discriminator_loss, generator_loss
from limner.core.networks.config import PatchGANConfig, UNetConfig
from limner.core.networks.patchgan import Judgement, PatchGAN, build_patchgan
from limner.core.perceptual.lpips import AlexNet
from limner.core.perceptual.weights import cache_path
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.tasks.pix2pix.objective import Pix2PixObjective, feature_matching, gradient_distance
from limner.core.util.errors import UserError

CPU = torch.device("cpu")


def config(**changes: Any) -> Pix2PixConfig:
    networks = {"generator": UNetConfig(width=4), "discriminator": PatchGANConfig(width=4)}
    return Pix2PixConfig(**{"image_size": 64, "gan_loss": "lsgan", **networks, **changes})


@pytest.fixture
def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    discriminator = PatchGAN(PatchGANConfig(width=4, norm="none"))
    return {"discriminator": discriminator.requires_grad_(False)}  # as in the generator's phase


@pytest.fixture
def batch() -> Batch:
    photo, sketch = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2.0 - 1.0
    return Batch(photo, sketch, torch.zeros(2, dtype=torch.int64), torch.arange(2))


@pytest.fixture
def fake() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2.0 - 1.0


@pytest.fixture
def random_lpips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of the right shapes in the cache, since those of the authors may not be installed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    torch.manual_seed(3)
    heads = {f"head.{number}": torch.rand(shape[1]) for number, shape in enumerate(AlexNet.SHAPES)}
    path = cache_path("lpips-alex")
    path.parent.mkdir(parents=True)
    safetensors.torch.save_file(AlexNet().state_dict() | heads, path)


def test_feature_matching_is_the_mean_over_layers_of_means_over_places() -> None:
    ours = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 2, 2)]
    theirs = [torch.full((1, 2, 4, 4), 3.0), torch.full((1, 4, 2, 2), -1.0)]
    assert float(feature_matching(ours, theirs)) == 2.0
    assert float(feature_matching(ours, ours)) == 0.0


@pytest.mark.usefixtures("random_lpips")
@pytest.mark.parametrize(
    ("weight", "term"),
    [(f"{name}_weight", f"loss/{name}") for name in ("l1", "lpips", "gradient", "feature_matching")],
)
def test_each_weighted_term_is_added(
    networks: dict[str, nn.Module], batch: Batch, fake: Tensor, weight: str, term: str
) -> None:
    assert batch.sketch is not None
    plain, _ = Pix2PixObjective(config(l1_weight=0.0), CPU).generator_loss(networks, batch, fake)
    objective = Pix2PixObjective(config(**{"l1_weight": 0.0, weight: 7.0}), CPU)
    loss, stats = objective.generator_loss(networks, batch, fake)
    assert float(stats[term]) > 0.0
    torch.testing.assert_close(loss, plain + 7.0 * stats[term])
    perfect, stats = objective.generator_loss(networks, batch, batch.sketch)
    assert float(stats[term]) == 0.0
    torch.testing.assert_close(perfect, stats["loss/gan"])


@pytest.mark.usefixtures("random_lpips")
def test_terms_that_are_off_are_not_computed(networks: dict[str, nn.Module], batch: Batch, fake: Tensor) -> None:
    assert batch.sketch is not None
    _, stats = Pix2PixObjective(config(), CPU).generator_loss(networks, batch, fake)
    assert sorted(stats) == ["loss/gan", "loss/generator", "loss/l1"]
    torch.testing.assert_close(stats["loss/l1"], F.l1_loss(fake, batch.sketch))


@pytest.mark.usefixtures("random_lpips")
def test_gradients_reach_the_sketch_through_each_term(
    networks: dict[str, nn.Module], batch: Batch, fake: Tensor
) -> None:
    objective = Pix2PixObjective(config(l1_weight=0.0, lpips_weight=1.0, feature_matching_weight=1.0), CPU)
    _, stats = objective.generator_loss(networks, batch, fake.requires_grad_())
    for term in ("loss/lpips", "loss/feature_matching"):
        (gradient,) = torch.autograd.grad(stats[term], fake, retain_graph=True)
        assert float(gradient.abs().max()) > 0.0


def test_missing_weights_of_lpips_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match="weights lpips-alex are not installed: limner weights install lpips-alex"):
        Pix2PixObjective(config(lpips_weight=1.0), CPU)


@pytest.mark.parametrize(
    "name", ["l1_weight", "lpips_weight", "feature_matching_weight", "gradient_weight", "distill_weight"]
)
def test_negative_weights_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"{name.replace('_', '-')} -1.0: must not be negative"):
        config(**{name: -1.0})


def test_the_gradient_distance_is_that_of_neighbours_in_x_and_y(fake: Tensor, batch: Batch) -> None:
    assert batch.sketch is not None
    real, ramp = batch.sketch, torch.linspace(0.0, 1.0, 64).expand(2, 3, 64, 64)
    by_hand = [
        ((fake[:, :, 1:] - fake[:, :, :-1]) - (real[:, :, 1:] - real[:, :, :-1])).abs().mean(),
        ((fake[..., 1:] - fake[..., :-1]) - (real[..., 1:] - real[..., :-1])).abs().mean(),
    ]
    torch.testing.assert_close(gradient_distance(fake, real), (by_hand[0] + by_hand[1]) / 2.0)
    assert float(gradient_distance(ramp + 0.3, ramp)) == pytest.approx(0.0, abs=1e-6)
    assert float(gradient_distance(ramp, torch.zeros_like(ramp))) == pytest.approx(0.5 / 63, rel=1e-4)


@pytest.mark.parametrize("joint_pass", [True, False])
def test_losses_are_means_over_the_scales(batch: Batch, fake: Tensor, joint_pass: bool) -> None:
    assert batch.sketch is not None
    network = build_patchgan(PatchGANConfig(width=4, norm="none", scales=2), 6, 0, seed=0)
    objective = Pix2PixObjective(config(l1_weight=0.0, discriminator_weight=1.0), CPU)
    objective.joint_pass = joint_pass
    real, generated = (network(batch.photo, sketch).logits for sketch in (batch.sketch, fake))
    losses = [discriminator_loss("lsgan", *logits) for logits in zip(real, generated, strict=True)]
    found, _ = objective.discriminator_loss({"discriminator": network}, batch, fake)
    torch.testing.assert_close(found, (losses[0] + losses[1]) / 2.0)
    losses = [generator_loss("lsgan", logits, logits) for logits in generated]
    found, _ = objective.generator_loss({"discriminator": network}, batch, fake)
    torch.testing.assert_close(found, (losses[0] + losses[1]) / 2.0)


class Recorder(nn.Module):
    """A discriminator that keeps the pairs that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, photo: Tensor, sketch: Tensor, style: Tensor, with_features: bool = False) -> Judgement:
        self.seen.append((photo, sketch))
        return Judgement([sketch.mean(dim=(1, 2, 3))], [sketch] if with_features else [])


def test_real_and_generated_pairs_are_augmented_alike_by_position(batch: Batch, fake: Tensor) -> None:
    assert batch.sketch is not None
    augment = DiffAugmentConfig(colour=True, translation=0.25, cutout=0.25)
    objective = Pix2PixObjective(config(diff_augment=augment, feature_matching_weight=1.0), CPU)
    recorder = Recorder()
    objective.discriminator_loss({"discriminator": recorder}, batch, fake)
    photos, sketches = recorder.seen.pop()
    assert torch.equal(photos[:2], photos[2:])
    assert not torch.equal(photos[:2], batch.photo)
    assert not torch.equal(sketches[2:], fake)
    objective.discriminator_loss({"discriminator": recorder}, batch, batch.sketch)
    _, sketches = recorder.seen.pop()
    assert torch.equal(sketches[:2], sketches[2:])
    _, stats = objective.generator_loss({"discriminator": recorder}, batch, batch.sketch)
    assert float(stats["loss/feature_matching"]) == 0.0
    assert not torch.equal(recorder.seen[0][1], sketches[:2])  # other numbers than the discriminator's
    moved = replace(batch, position=batch.position + 2)
    objective.generator_loss({"discriminator": recorder}, moved, batch.sketch)
    assert not torch.equal(recorder.seen[-1][1], recorder.seen[0][1])


def test_nothing_is_augmented_unless_asked_for(batch: Batch, fake: Tensor) -> None:
    recorder = Recorder()
    Pix2PixObjective(config(), CPU).generator_loss({"discriminator": recorder}, batch, fake)
    ((photo, sketch),) = recorder.seen
    assert photo is batch.photo
    assert sketch is fake
