"""Which metrics an evaluation takes, and what they say of a blank page, a blur and the real thing."""

from pathlib import Path

import numpy as np
import pytest

from limner.core.metrics.paired import score_pair
from limner.core.metrics.perceptual import METRICS, choose_metrics
from limner.core.perceptual.weights import cache_path
from limner.core.util.errors import UserError


def test_metrics_are_chosen_by_key() -> None:
    assert [metric.key for metric in choose_metrics(["scoot", "l1", "scoot"])] == ["scoot", "l1"]
    with pytest.raises(UserError, match="metrics lpips: must be among l1, psnr_db, ssim, lpips_alex, dists"):
        choose_metrics(["lpips"])


def test_what_needs_weights_is_left_out_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "limner")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert [metric.key for metric in choose_metrics()] == ["l1", "psnr_db", "ssim", "fsim", "scoot"]
    assert caplog.messages == ["LPIPS-Alex is left out: limner weights install lpips-alex"]
    with pytest.raises(UserError, match="metrics dists: weights are not installed: limner weights install lpips-vgg d"):
        choose_metrics(["dists"])


@pytest.mark.parametrize("key", [metric.key for metric in METRICS])
def test_each_prefers_the_real_sketch_and_takes_any_range(key: str) -> None:
    (metric,) = (metric for metric in METRICS if metric.key == key)
    if missing := [name for name in metric.weights if not cache_path(name).is_file()]:
        pytest.skip(f"weights are not installed: limner weights install {' '.join(missing)}")
    rows, columns = np.mgrid[:64, :64]
    real = np.where((rows // 3 + columns // 5) % 4 == 0, 40, 250).astype(np.uint8)[..., None].repeat(3, axis=2)
    noisy = np.where((rows + 3 * columns) % 7 == 0, 120, real[..., 0]).astype(np.uint8)[..., None].repeat(3, axis=2)
    same, worse = (score_pair(image, real, metrics=[metric])[key] for image in (real, noisy))
    assert (worse < same) == ("higher is better" in metric.definition)
    scaled = score_pair(noisy / 127.5, real / 127.5, 2.0, [metric])[key]
    assert scaled == pytest.approx(worse, rel=1e-4)
