"""Metrics of sets of images against known values; Inception's weights are not needed."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from limner.core.metrics import inception
from limner.core.metrics.diversity import mean_pairwise_distance
from limner.core.metrics.fid import frechet_distance
from limner.core.metrics.inception import Inception, extract, load_inception, resize_antialiased
from limner.core.metrics.kid import kernel_distance, squared_discrepancy
from limner.core.metrics.neighbours import distance_within, nearest_images
from limner.core.metrics.precision_recall import precision_recall
from limner.core.metrics.swd import laplacian_pyramid, sliced_wasserstein
from limner.core.util.errors import UserError


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_pairwise_distance_by_hand() -> None:
    points = torch.tensor([[0.0, 0.0], [2.0, 2.0], [2.0, 0.0]])
    assert mean_pairwise_distance(points) == pytest.approx((2.0 + 2.0**0.5 + 2.0**0.5) / 3)


def test_frechet_distance_of_scaled_and_moved_sets_is_known() -> None:
    """Of X and aX + b with covariance S: |mean moved|^2 + (a - 1)^2 tr S."""
    features = normal(500, 6) @ normal(6, 6, seed=1)
    moved = 1.5 * features + 2.0
    shift = (moved.mean(dim=0) - features.mean(dim=0)).square().sum()
    expected = float(shift + 0.25 * torch.cov(features.T).trace())
    assert frechet_distance(features, moved) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(features, features) == pytest.approx(0.0, abs=1e-6)


def test_frechet_distance_takes_fewer_images_than_features() -> None:
    assert np.isfinite(frechet_distance(normal(10, 64), normal(12, 64, seed=1)))


def test_kernel_distance_has_no_bias_and_grows_with_the_difference() -> None:
    same, spread = kernel_distance(normal(400, 8), normal(400, 8, seed=1))
    assert abs(same) < spread
    far, _ = kernel_distance(normal(400, 8), normal(400, 8, seed=1) + 1.0)
    assert far > 20 * abs(same)
    slow = _slow_discrepancy(normal(12, 5), normal(12, 5, seed=1))
    assert float(squared_discrepancy(normal(12, 5), normal(12, 5, seed=1))) == pytest.approx(slow)


def _slow_discrepancy(first: Tensor, second: Tensor) -> float:
    def kernel(a: Tensor, b: Tensor) -> float:
        return float((a @ b / len(a) + 1.0) ** 3)

    n = len(first)
    within = sum(kernel(part[i], part[j]) for part in (first, second) for i in range(n) for j in range(n) if i != j)
    across = sum(kernel(first[i], second[j]) for i in range(n) for j in range(n))
    return within / (n * (n - 1)) - 2.0 * across / n**2


def test_precision_falls_with_bad_samples_and_recall_with_missing_ones() -> None:
    data = torch.cat([normal(200, 2), normal(200, 2, seed=1) + 50.0])
    assert precision_recall(data, data) == (1.0, 1.0)
    precision, recall = precision_recall(normal(200, 2, seed=2), data)  # one mode of two
    assert precision > 0.9
    assert 0.4 < recall < 0.5
    precision, recall = precision_recall(torch.cat([data, normal(400, 2, seed=3) - 50.0]), data)
    assert precision == pytest.approx(0.5)
    assert recall == 1.0


def test_pyramid_adds_up_to_the_image() -> None:
    images = normal(2, 3, 64, 64).float()
    levels = laplacian_pyramid(images)
    assert [level.shape[-1] for level in levels] == [64, 32, 16]
    flat = laplacian_pyramid(torch.ones(1, 3, 64, 64))
    assert flat[0][:, :, 4:-4, 4:-4].abs().max() < 1e-6


def test_sliced_distance_is_of_the_level_that_differs() -> None:
    smooth = torch.nn.functional.interpolate(normal(32, 3, 8, 8).float(), size=(64, 64), mode="bicubic")
    other = torch.nn.functional.interpolate(normal(32, 3, 8, 8, seed=1).float(), size=(64, 64), mode="bicubic")
    noisy = other + 0.3 * normal(32, 3, 64, 64, seed=2).float()
    near, far = sliced_wasserstein(smooth, other), sliced_wasserstein(smooth, noisy)
    assert set(near) == {64, 32, 16}
    assert far[64] > 3 * near[64]
    assert far[16] < 3 * near[16]
    assert sliced_wasserstein(smooth, smooth) == {64: 0.0, 32: 0.0, 16: 0.0}
    with pytest.raises(ValueError, match="one size and number"):
        sliced_wasserstein(smooth, other[:5])


def test_a_copy_is_found_also_mirrored_and_each_image_once() -> None:
    data = torch.nn.functional.interpolate(normal(20, 3, 8, 8).float(), size=(64, 64))
    symmetric = (data[3] + data[3].flip(2)) / 2
    data[3] = symmetric
    found = nearest_images(torch.stack([data[5].flip(2), data[3]]), data, count=3)
    assert found.index[:, 0].tolist() == [5, 3]
    assert found.distance[:, 0].max() < 1e-3
    assert all(len(set(row)) == 3 for row in found.index.tolist())
    assert distance_within(data).min() > 0.1


def test_antialiased_resizing_is_pillows_and_unrounded() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    plane = np.asarray(Image.fromarray(image[:, :, 1].astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC))
    resized = resize_antialiased(image)
    assert resized.shape == (3, 299, 299)
    torch.testing.assert_close(resized[1], torch.from_numpy(plane.clip(0, 255)) / 127.5 - 1.0)


class Means(nn.Module):
    """Each channel's mean: features that are known."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def test_features_come_in_order_whatever_the_batch() -> None:
    images = [np.full((8, 8, 3), value, np.uint8) for value in (0, 51, 255)]
    features = extract(Means(), images, torch.device("cpu"), batch_size=2)
    torch.testing.assert_close(features[:, 0], torch.tensor([-1.0, -0.6, 1.0], dtype=torch.float64))


def test_inception_has_the_published_shape() -> None:
    """Of torchvision's 23.8 M weights without their last layer; 2,048 features."""
    with torch.device("meta"):
        network = Inception().eval()
        assert network(torch.zeros(1, 3, 299, 299)).shape == (1, 2048)
    assert sum(weight.numel() for weight in network.parameters()) == 21_785_568


def test_only_the_standard_weights_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_inception(tmp_path / "none.pth")
    path = tmp_path / "weights.pth"
    torch.save({**Inception().state_dict(), "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}, path)
    with pytest.raises(UserError, match="not the standard Inception weights"):
        load_inception(path)
    monkeypatch.setattr(inception, "SHA256_START", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    assert not load_inception(path).training
