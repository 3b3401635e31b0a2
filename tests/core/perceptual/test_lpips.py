"""LPIPS against the authors' formula written out, and against values that other implementations give."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from limner.core.perceptual import lpips
from limner.core.perceptual.lpips import VGG16, AlexNet, Backbone, Lpips
from limner.core.perceptual.weights import cache_path
from limner.core.util.errors import UserError

PUBLISHED_CONV1 = (-0.5537, 0.1427, 0.5290)
"""The first values of torchvision's VGG16, as public notebooks print them."""


@pytest.fixture(params=["alex", "vgg"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    found: Backbone = request.param
    if not cache_path(f"lpips-{found}").is_file():
        pytest.skip(f"weights lpips-{found} are not installed: limner weights install lpips")
    return found


def by_hand(metric: Lpips, a: Tensor, b: Tensor) -> Tensor:
    mean, std = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    maps = [metric.network((x - mean[:, None, None]) / std[:, None, None]) for x in (a, b)]
    total = torch.zeros(len(a))
    for x, y, head in zip(*maps, metric.heads, strict=True):
        difference = (F.normalize(x, eps=1e-10) - F.normalize(y, eps=1e-10)) ** 2
        total += F.conv2d(difference, head.view(1, -1, 1, 1)).mean(dim=(1, 2, 3))
    return total


def test_it_is_the_authors_formula(backbone: Backbone) -> None:
    metric = Lpips(backbone)
    images = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    found = metric(*images)
    assert found.shape == (2,)
    torch.testing.assert_close(found, by_hand(metric, *images), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(metric(images[0], images[0]), torch.zeros(2))
    torch.testing.assert_close(metric(images[1], images[0]), found)


def test_gradients_reach_the_image_and_no_weight(backbone: Backbone) -> None:
    metric = Lpips(backbone)
    image = torch.zeros(1, 3, 64, 64, requires_grad=True)
    metric(image, torch.ones(1, 3, 64, 64)).sum().backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0.0
    assert all(weight.grad is None for weight in metric.parameters())


def test_gradients_are_finite_where_no_channel_answers() -> None:
    features = torch.zeros(1, 4, 2, 2, requires_grad=True)
    lpips._unit(features.relu()).sum().backward()
    assert features.grad is not None
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_the_vgg_is_torchvisions() -> None:
    if not cache_path("lpips-vgg").is_file():
        pytest.skip("weights lpips-vgg are not installed: limner weights install lpips")
    kernel = Lpips("vgg").network.conv[0].weight[0, 0, 0]  # type: ignore[index]
    assert [round(float(value), 4) for value in kernel] == list(PUBLISHED_CONV1)


@pytest.mark.parametrize(("network", "millions"), [(AlexNet, 2.4697), (VGG16, 14.7147)])
def test_the_networks_have_the_published_number_of_weights(network: type[torch.nn.Module], millions: float) -> None:
    with torch.device("meta"):
        count = sum(weight.numel() for weight in network().parameters())
    assert round(count / 1e6, 4) == millions


def test_missing_weights_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"weights lpips-alex are not installed: limner weights install lpips-alex$"):
        lpips.Lpips("alex")
