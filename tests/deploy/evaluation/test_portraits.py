"""Samples against a dataset: figures with and without Inception, each under its own name."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import limner.deploy.evaluation.portraits
from limner.core.bundle import BundleConfig, save_bundle
from limner.core.networks.config import DCGANGeneratorConfig
from limner.core.networks.init import init_weights
from limner.core.util.errors import UserError
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic
from limner.data_pipeline.index import load_dataset
from limner.deploy.evaluation.portraits import MIN_PORTRAITS, evaluate_portraits
from limner.deploy.load import load
from limner.deploy.sampling import Sampler


@pytest.fixture
def sampler(tmp_path: Path) -> Sampler:
    config = BundleConfig("dcgan", 64, "stretch", (), DCGANGeneratorConfig(latent=8, width=4))
    generator = config.build()
    init_weights(generator, 0, std=None)
    save_bundle(tmp_path / "model", generator, config)
    sampler = load(tmp_path / "model", device="cpu")
    assert isinstance(sampler, Sampler)
    return sampler


class Colours(nn.Module):
    """In place of Inception, whose weights are not at hand: mean and deviation of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3))], dim=1)


def test_without_weights_no_number_bears_inceptions_names(sampler: Sampler, tiny_data: Path) -> None:
    report = evaluate_portraits(sampler, load_dataset(tiny_data), "train", None)
    scores = report.metrics["scores"]
    assert {scores["generator"][name] for name in ("fid", "kid", "precision", "recall")} == {None}
    assert not {"FID", "KID"} & set(report.tables[0].columns)
    assert "without Inception's weights" in report.definitions["FID, KID, precision, recall"]
    assert scores["data, mirrored"]["diversity"] == pytest.approx(1.0)
    for side, distance in scores["generator"]["swd"].items():
        assert distance > 2 * scores["data, mirrored"]["swd"][side]


def test_too_few_portraits_are_one_line(sampler: Sampler, tiny_data: Path) -> None:
    message = "has 2 portraits in split 'val', the comparison needs at least 4: give another split, or another"
    with pytest.raises(UserError, match=message):
        evaluate_portraits(sampler, load_dataset(tiny_data), "val", None)


@pytest.mark.parametrize("weights", [None, Path("weights")])
def test_the_fewest_portraits_are_enough(
    sampler: Sampler, tmp_path: Path, weights: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limner.deploy.evaluation.portraits, "load_inception", lambda path: Colours())
    import_synthetic(MIN_PORTRAITS, tmp_path / "few", PrepareOptions(size=64, val_fraction=0.0))
    report = evaluate_portraits(sampler, load_dataset(tmp_path / "few"), "train", weights)
    assert report.metrics["images"] == report.metrics["pictures"] == MIN_PORTRAITS


def test_with_weights_they_do(
    sampler: Sampler, tiny_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limner.deploy.evaluation.portraits, "load_inception", lambda path: Colours())
    report = evaluate_portraits(sampler, load_dataset(tiny_data), "train", tmp_path / "weights")
    generator, mirrored = report.metrics["scores"]["generator"], report.metrics["scores"]["data, mirrored"]
    assert report.tables[0].columns[-4:] == ["FID", "KID", "precision", "recall"]
    assert {"FID", "KID", "precision", "recall", "diversity", "nearest", "data, mirrored"} <= set(report.definitions)
    assert mirrored["fid"] == pytest.approx(0.0, abs=1e-3)
    assert generator["fid"] > 10 * abs(mirrored["fid"])
    assert (mirrored["precision"], mirrored["recall"]) == (1.0, 1.0)
    assert generator["precision"] < 0.5
