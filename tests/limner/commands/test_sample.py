from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner.commands.sample import main
from limner.core.bundle import BundleConfig, save_bundle
from limner.core.networks.config import DCGANGeneratorConfig, UNetConfig
from limner.core.networks.init import init_weights
from limner.core.util.errors import UserError
from limner.core.util.log import show_log
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic
from limner.deploy.build import build
from limner.deploy.options import BuildOptions

Sample = Callable[..., None]


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sample:
    """Run the command in a directory with one trained model, runs/tiny/model."""
    config = BundleConfig("dcgan", 64, "stretch", (), DCGANGeneratorConfig(latent=8, width=4))
    generator = config.build()
    init_weights(generator, 0, std=None)
    save_bundle(tmp_path / "runs" / "tiny" / "model", generator, config)
    monkeypatch.chdir(tmp_path)
    show_log()

    def run(*arguments: object) -> None:
        main([*map(str, arguments)])

    return run


def contents(out: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(out).iterdir()}


def test_the_same_seed_gives_the_same_files_whatever_the_batch_size(sample: Sample) -> None:
    sample("--count", 5, "--out", "a")
    sample("--count", 5, "--batch-size", 2, "--out", "b")
    sample("--count", 5, "--seed", 1, "--out", "c")
    assert sorted(contents("a")) == ["grid.png", *(f"sample_{i:04d}.png" for i in range(5))]
    assert contents("a") == contents("b")
    assert not set(contents("a").values()) & set(contents("c").values())
    with Image.open("a/sample_0000.png") as image:
        assert image.size == (64, 64)


def test_the_ways_to_look_at_samples(sample: Sample, tiny_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample("--count", 3, "--truncation", 0.5, "--interpolate", 2, "--data", tiny_data)
    with Image.open("out/interpolation.gif") as loop:
        assert getattr(loop, "n_frames", 1) == 32
    assert Path("out/nearest.png").is_file()
    said = capsys.readouterr().out
    assert "median distance to the nearest training image: samples" in said
    assert "3 portraits in out" in said


def test_an_engine_samples_as_its_bundle_does(sample: Sample, tmp_path: Path) -> None:
    """In fp32, to 2 of 255; whole batches only, so that the last is padded."""
    options = BuildOptions(backend="onnxruntime", batch=(4, 4, 4))
    build(Path("runs/tiny/model"), Path("engine"), options, report=lambda line: None)
    for model, out in (("runs/tiny", "a"), ("engine", "b")):
        sample("--model", model, "--count", 6, "--out", out)
    for name in contents("a"):
        with Image.open(Path("a") / name) as expected, Image.open(Path("b") / name) as image:
            assert np.abs(np.asarray(image).astype(int) - np.asarray(expected)).max() <= 2


def test_samples_are_compared_with_enough_portraits_or_none_is_generated(sample: Sample, tmp_path: Path) -> None:
    for count in (2, 3):
        import_synthetic(count, tmp_path / str(count), PrepareOptions(size=64, val_fraction=0.0))
    with pytest.raises(UserError, match="2 has 2 portraits in split 'train', the comparison needs at least 3"):
        sample("--count", 1, "--data", "2")
    assert not Path("out").exists()
    sample("--count", 1, "--data", "3")


def test_wrong_input_is_one_line(sample: Sample, tmp_path: Path) -> None:
    config = BundleConfig("pix2pix", 64, "stretch", (), UNetConfig(width=2, depth=4))
    torch.manual_seed(0)
    save_bundle(tmp_path / "other", config.build(), config)
    for arguments, words in (
        (["--model", "other"], "other: translates photos and generates nothing from noise: limner translate"),
        (["--count", 0], "count 0: must be a whole number of at least 1"),
        (["--truncation", 0], "truncation 0.0: must be over 0"),
        (["--style", 1], "style '1': .* was trained without styles"),
        (["--interpolate", -1], "interpolate -1: must be at least 0"),
        (["--batch-size", 0], "batch-size 0: must be at least 1"),
        (["--data", "nowhere"], "nowhere is not a prepared dataset"),
    ):
        with pytest.raises(UserError, match=words):
            sample(*arguments)
