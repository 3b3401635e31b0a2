"""DISTS against its formulas written out, with the published weights where they are installed."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from limner.core.perceptual.dists import MEAN, STD, Dists
from limner.core.perceptual.lpips import VGG16
from limner.core.perceptual.weights import cache_path
from limner.core.util.errors import UserError


@pytest.fixture
def metric() -> Dists:
    if missing := [name for name in ("lpips-vgg", "dists") if not cache_path(name).is_file()]:
        pytest.skip(f"weights are not installed: limner weights install {' '.join(missing)}")
    return Dists()


def maps(metric: Dists, image: Tensor) -> list[Tensor]:
    """Of one image (3, H, W), by other operators than the metric's."""
    x = ((image.permute(1, 2, 0) - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)[None]
    found, number = [image[None]], 0
    kernel = torch.tensor([0.25, 0.5, 0.25])
    for stage in VGG16.STAGES:
        if number:
            squares = F.pad(x * x, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2)
            x = (torch.einsum("nchwij,i,j->nchw", squares, kernel, kernel) + 1e-12).sqrt()
        for _ in stage:
            x = metric.network.conv[number](x).relu()
            number += 1
        found.append(x)
    return found


def test_it_is_the_authors_formula(metric: Dists) -> None:
    a, b = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    total, place = 0.0, 0
    for x, y in zip(maps(metric, a), maps(metric, b), strict=True):
        for u, v in zip(x[0].double(), y[0].double(), strict=True):
            texture = (2 * u.mean() * v.mean() + 1e-6) / (u.mean() ** 2 + v.mean() ** 2 + 1e-6)
            covariance = ((u - u.mean()) * (v - v.mean())).mean()
            structure = (2 * covariance + 1e-6) / (u.var(correction=0) + v.var(correction=0) + 1e-6)
            total += float(metric.alpha[place] * texture + metric.beta[place] * structure)
            place += 1
    assert place == 1475
    assert float(metric(a[None], b[None])) == pytest.approx(1.0 - total, abs=1e-4)
    assert float(metric(a[None], a[None])) == pytest.approx(0.0, abs=1e-5)


def test_a_shifted_texture_is_nearer_than_a_flat_one(metric: Dists) -> None:
    texture = (torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1)) > 0.7).float().expand(1, 3, -1, -1)
    flat = torch.full_like(texture, float(texture.mean()))
    assert float(metric(texture.roll(3, dims=3), texture)) < 0.5 * float(metric(flat, texture))


def test_missing_weights_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match="weights lpips-vgg are not installed: limner weights install lpips-vgg"):
        Dists()
