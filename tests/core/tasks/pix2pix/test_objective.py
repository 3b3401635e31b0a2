"""The terms of the generator's loss: off by default, right when on, and none of them trains the discriminator."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.core.batch import Batch
from limner.core.networks.config import PatchGANConfig, UNetConfig
from limner.core.networks.patchgan import PatchGAN
from limner.core.perceptual.lpips import AlexNet
from limner.core.perceptual.weights import cache_path
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.tasks.pix2pix.objective import Pix2PixObjective, feature_matching
from limner.core.util.errors import UserError

CPU = torch.device("cpu")


def config(**weights: float) -> Pix2PixConfig:
    networks = {"generator": UNetConfig(width=4), "discriminator": PatchGANConfig(width=4)}
    return Pix2PixConfig(image_size=64, gan_loss="lsgan", **networks, **weights)  # type: ignore[arg-type]


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


def test_features_end_with_the_logits(networks: dict[str, nn.Module], batch: Batch) -> None:
    discriminator = networks["discriminator"]
    *features, logits = discriminator(batch.photo, batch.sketch, batch.style, with_features=True)
    assert [len(feature[0]) for feature in features] == [4, 8, 16, 32]
    torch.testing.assert_close(logits, discriminator(batch.photo, batch.sketch, batch.style), rtol=0.0, atol=0.0)


def test_feature_matching_is_the_mean_over_layers_of_means_over_places() -> None:
    ours = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 2, 2)]
    theirs = [torch.full((1, 2, 4, 4), 3.0), torch.full((1, 4, 2, 2), -1.0)]
    assert float(feature_matching(ours, theirs)) == 2.0
    assert float(feature_matching(ours, ours)) == 0.0


@pytest.mark.usefixtures("random_lpips")
@pytest.mark.parametrize(
    ("weight", "term"),
    [("l1_weight", "loss/l1"), ("lpips_weight", "loss/lpips"), ("feature_matching_weight", "loss/feature_matching")],
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


@pytest.mark.parametrize("name", ["l1_weight", "lpips_weight", "feature_matching_weight"])
def test_negative_weights_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"{name.replace('_', '-')} -1.0: must not be negative"):
        config(**{name: -1.0})
