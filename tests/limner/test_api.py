"""The public API: what a program that imports limner sees."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import limner
from limner.core.bundle import BundleConfig, save_bundle
from limner.core.images import Uint8Image
from limner.core.networks.config import DCGANGeneratorConfig, UNetConfig
from limner.deploy.build import build
from limner.deploy.options import BuildOptions

STYLES = ("ink", "chalk")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with runs/sketches, runs/faces, models/sketches2 and engines/openvino."""
    root = tmp_path_factory.mktemp("home")
    unet = BundleConfig("pix2pix", 64, "pad", STYLES, UNetConfig(width=8, depth=4, styles=2))
    dcgan = BundleConfig("dcgan", 64, "stretch", (), DCGANGeneratorConfig(latent=8, width=4))
    for place, config in (("runs/sketches/model", unet), ("models/sketches2", unet), ("runs/faces/model", dcgan)):
        torch.manual_seed(0)
        save_bundle(root / place, config.build(), config)
    options = BuildOptions(backend="openvino", batch=(2, 2, 2))
    build(root / "models/sketches2", root / "engines/openvino", options, report=lambda line: None)
    return root


@pytest.fixture
def photo(rng: np.random.Generator) -> Uint8Image:
    return rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)


def run_python(code: str) -> str:
    """What a new process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_is_fast_and_imports_no_library() -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import limner; print(time.perf_counter() - t); print(*sys.modules)"
    )
    seconds, modules = run_python(code).splitlines()
    assert float(seconds) < 0.5
    assert not {"torch", "numpy", "PIL", "cv2", "tyro", "rich"} & set(modules.split())


def test_the_names_are_what_they_are_documented_to_be() -> None:
    assert limner.__all__ == sorted(limner.__all__) == dir(limner)
    for name in limner.__all__:
        assert getattr(limner, name) is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+", limner.__version__)
    with pytest.raises(AttributeError, match="module 'limner' has no attribute 'nothing'"):
        getattr(limner, "nothing")  # noqa: B009


@pytest.mark.parametrize(
    "name",
    [
        "runs/sketches/model",
        "runs/sketches",
        "sketches",
        "sketches2",
        "models/sketches2",
        "engines/openvino",
        "openvino",
    ],
)
def test_a_translator_is_loaded_by_directory_or_name(
    name: str, home: Path, photo: Uint8Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    with limner.load(name) as translator:
        assert isinstance(translator, limner.Translator)
        assert (translator.styles, translator.image_size, translator.source.fit) == (STYLES, 64, "pad")
        sketch: Image.Image = translator(photo, style="chalk")
        sketches: list[Image.Image] = translator([photo], style=0)
        assert [image.size for image in (sketch, *sketches)] == [(40, 50)] * 2
    with limner.load(home / "runs/sketches") as reference:
        assert isinstance(reference, limner.Translator)
        difference = np.asarray(sketch).astype(int) - np.asarray(reference(photo, style=1))
    assert np.abs(difference).max() <= 2


def test_what_takes_noise_is_a_sampler(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    sampler = limner.load("faces")
    assert isinstance(sampler, limner.Sampler)
    assert [image.size for image in sampler(2, seed=1)] == [(64, 64)] * 2


def test_a_directory_goes_before_a_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home / "runs")
    assert limner.load("sketches").name == str(Path("sketches/model"))


def test_what_is_no_model_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    for place in ("nothing", "runs", home):
        with pytest.raises(limner.UserError, match=r"not a model bundle .*: give the directory of one, or the name"):
            limner.load(place)
