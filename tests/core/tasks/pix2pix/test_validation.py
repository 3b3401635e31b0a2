"""Metrics in which all styles weigh the same, with LPIPS where its weights are installed."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limner.core.batch import Batch
from limner.core.perceptual.lpips import AlexNet
from limner.core.perceptual.weights import cache_path
from limner.core.tasks.pix2pix import Pix2PixConfig, Pix2PixTask
from limner.core.tasks.pix2pix.validation import PairValidator
from limner.core.tasks.task import DataFacts, Validation
from limner.core.util.errors import UserError

CPU = torch.device("cpu")
L1, LPIPS = "validation/l1", "validation/lpips-alex"


class Copy(nn.Module):
    """A generator that gives the photo back."""

    def forward(self, photo: Tensor, style: Tensor) -> Tensor:
        return photo


@pytest.fixture
def pairs() -> Validation:
    """Two batches; sketches are 0.2 brighter than their photos in style 0 (three pairs), 0.6 in style 1 (one pair)."""
    photo = torch.rand((4, 3, 64, 64), generator=torch.Generator().manual_seed(0)) - 0.8
    style = torch.tensor([0, 0, 1, 0])
    sketch = photo + torch.tensor([0.2, 0.6])[style].view(-1, 1, 1, 1)
    number = torch.arange(4)
    batches = [Batch(photo[part], sketch[part], style[part], number[part]) for part in (slice(0, 3), slice(3, 4))]
    return Validation(batches, held_out=True)


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def weights(no_weights: None) -> None:
    """Weights of LPIPS, random."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    values = dict(AlexNet().state_dict())
    values |= {f"head.{number}": torch.rand(shape[1]) for number, shape in enumerate(AlexNet.SHAPES)}
    cache_path("lpips-alex").parent.mkdir(parents=True)
    save_file(values, cache_path("lpips-alex"))


@pytest.mark.usefixtures("no_weights")
def test_all_styles_weigh_the_same_and_lpips_is_left_out_with_one_line(
    pairs: Validation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "limner")
    validator = PairValidator(pairs, CPU)
    for _ in range(2):
        assert validator.evaluate({"generator": Copy()}, 0) == {L1: pytest.approx((0.1 + 0.3) / 2)}
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"{LPIPS} is left out: weights lpips-alex are not installed: limner weights install lpips-alex"]


@pytest.mark.usefixtures("weights")
def test_lpips_is_measured_if_installed_and_every_metric_is_one_of_the_task(pairs: Validation) -> None:
    metrics = PairValidator(pairs, CPU, LPIPS).evaluate({"generator": Copy()}, 0)
    assert list(metrics) == list(Pix2PixTask.metrics) == [L1, LPIPS]
    assert metrics[LPIPS] > 0.0
    same = [replace(batch, sketch=batch.photo) for batch in pairs.batches]
    assert PairValidator(Validation(same, True), CPU).evaluate({"generator": Copy()}, 0) == {L1: 0.0, LPIPS: 0.0}


@pytest.mark.usefixtures("no_weights")
def test_what_picks_the_best_must_be_there(pairs: Validation) -> None:
    config, data = Pix2PixConfig(keep_best=LPIPS), DataFacts("faces", "stretch", ())
    with pytest.raises(UserError, match=r"not installed: limner weights install lpips-alex"):
        Pix2PixTask().resolve(config, data)
    assert Pix2PixTask().resolve(replace(config, keep_best=L1), data).keep_best == L1
    with pytest.raises(UserError, match=r"keep-best validation/l1: the data has no validation pairs"):
        PairValidator(replace(pairs, held_out=False), CPU, L1)
    assert PairValidator(replace(pairs, held_out=False), CPU).evaluate({}, 0) == {}


def test_the_grid_shows_the_first_pairs(pairs: Validation) -> None:
    make: Callable[..., object] = PairValidator(pairs, CPU).sample_grid
    assert make({"generator": Copy()}).ndim == 3  # type: ignore[attr-defined]
