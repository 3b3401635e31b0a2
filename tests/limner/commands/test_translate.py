import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

import limner.core.runs
from limner.commands.translate import main
from limner.core.bundle import BundleConfig, save_bundle
from limner.core.networks.config import DCGANGeneratorConfig, UNetConfig
from limner.core.networks.init import init_weights
from limner.core.networks.unet import UNet
from limner.core.util.errors import UserError
from limner.data_pipeline.images import read_image
from limner.deploy.backends import BackendName
from limner.deploy.build import build
from limner.deploy.options import BuildOptions


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A generator without styles, one with three, both with random weights, and a sampler."""
    root = tmp_path_factory.mktemp("models")
    for name, styles in (("plain", ()), ("styled", ("outline", "hatched", "soft"))):
        config = UNetConfig(width=2, depth=4, styles=len(styles))
        unet = UNet(config)
        init_weights(unet, 0, std=0.3)
        save_bundle(root / name, unet, BundleConfig("pix2pix", 64, "stretch", styles, config))
    noise = BundleConfig("dcgan", 64, "stretch", (), DCGANGeneratorConfig(latent=8, width=4))
    save_bundle(root / "noise", noise.build(), noise)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture
def photos(tmp_path: Path, rng: np.random.Generator) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, shape in (("a.jpg", (80, 60, 3)), ("b.png", (50, 90, 4)), ("grey.png", (70, 70))):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, shape, dtype=np.uint8))
    (folder / "notes.txt").write_text("not an image")
    return folder


def translate(*arguments: object) -> None:
    main([*map(str, arguments)])


def test_a_folder_becomes_sketches_of_the_same_sizes_and_grids(
    models: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    translate(photos, "--model", models["plain"], "--out", out, "--compare", "--batch-size", 2)
    sizes = {path.stem: read_image(path).shape[:2] for path in out.glob("*.png")}
    assert sizes == {"a": (80, 60), "b": (50, 90), "grey": (70, 70)}
    assert sorted(path.name for path in (out / "sheets").iterdir()) == ["compare_01.png", "compare_02.png"]


def test_without_a_run_the_model_that_comes_with_limner_draws_in_its_default_style(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = BundleConfig("pix2pix", 64, "stretch", ("a", "b"), UNetConfig(width=2, depth=4, styles=2), "b")
    save_bundle(tmp_path / "package" / "portrait-sketch", config.build(), config, "fp16")
    monkeypatch.setattr(limner.core.runs, "SHIPPED", tmp_path / "package" / "portrait-sketch")
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", "limner")
    translate(photos / "a.jpg", "--face", "off")
    assert caplog.messages[0].startswith("--model portrait-sketch (comes with Limner")
    with limner.load("portrait-sketch") as translator:
        assert isinstance(translator, limner.Translator)
        expected = np.asarray(translator(photos / "a.jpg", style="b", face="off"))
    assert np.array_equal(read_image(Path("out/a.png")), expected)


def test_results_do_not_depend_on_the_batch_size(models: dict[str, Path], photos: Path, tmp_path: Path) -> None:
    for batch in (1, 3):
        out = tmp_path / str(batch)
        translate(photos, "--model", models["plain"], "--out", out, "--batch-size", batch)
    for path in (tmp_path / "1").glob("*.png"):
        one, three = (read_image(file).astype(int) for file in (path, tmp_path / "3" / path.name))
        assert np.abs(one - three).max() <= 1


def test_tiles_and_styles(models: dict[str, Path], photos: Path, tmp_path: Path) -> None:
    for style in ("outline", "2"):
        arguments = ("--model", models["styled"], "--style", style, "--out", tmp_path / style, "--mode", "tile")
        translate(photos / "a.jpg", *arguments)
    first, second = (read_image(tmp_path / style / "a.png") for style in ("outline", "2"))
    assert first.shape == (80, 60, 3)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("profile", [(1, 2, 2), (4, 4, 8)])
def test_an_engine_gives_what_its_bundle_gives(
    backend: BackendName,
    profile: tuple[int, int, int],
    models: dict[str, Path],
    photos: Path,
    tmp_path: Path,
) -> None:
    """In fp32, to 2 of 255, through the command: batches are split and padded to the engine's profile."""
    build(models["styled"], tmp_path / "engine", BuildOptions(backend=backend, batch=profile), report=lambda line: None)
    for mode in ("model", "tile"):
        outs = []
        for model in (models["styled"], tmp_path / "engine"):
            outs.append(tmp_path / mode / model.name)
            options = ("--style", "hatched", "--mode", mode, "--batch-size", 3)
            translate(photos, "--model", model, "--out", outs[-1], *options)
        for path in outs[0].iterdir():
            expected, sketch = (read_image(out / path.name).astype(int) for out in outs)
            assert np.abs(sketch - expected).max() <= 2
            assert expected.std() > 5  # something to see


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_an_engine_translates_without_torch(
    backend: BackendName, models: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    build(models["plain"], tmp_path / "engine", BuildOptions(backend=backend), report=lambda line: None)
    arguments = [str(photos), "--model", str(tmp_path / "engine"), "--out", str(tmp_path / "out"), "--compare"]
    program = f"import sys\nfrom limner.cli import main\nmain({['translate', *arguments]})\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(done.stdout.splitlines()[-1].split())
    assert backend in modules
    assert not {"torch", "nvidia", "ray", "skimage", "onnx"} & modules
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("styled", [], r"no style given: choose one of 0 \(outline\), 1 \(hatched\), 2 \(soft\)"),
        ("styled", ["--style", "3"], r"style '3': must be one of 0 \(outline\)"),
        ("noise", [], "noise: generates portraits from noise and takes no photos: limner sample"),
        ("plain", ["--style", "0"], "was trained without styles"),
        ("plain", ["--batch-size", "0"], "batch-size 0"),
        ("nothing", [], "not a model bundle"),
        ("plain", ["--out", "PHOTOS"], "photos: lies within .*photos, which is searched for photos: choose an --out"),
        ("plain", ["--out", "PHOTOS/out"], "out: lies within .*photos, which is searched for photos"),
    ],
)
def test_wrong_input_is_one_line(
    models: dict[str, Path],
    photos: Path,
    tmp_path: Path,
    model: str,
    arguments: list[str],
    message: str,
) -> None:
    options = [argument.replace("PHOTOS", str(photos)) for argument in arguments]
    with pytest.raises(UserError, match=message):
        translate(photos, "--out", tmp_path, "--model", models.get(model, tmp_path / model), *options)


def test_no_photo_is_ever_overwritten(models: dict[str, Path], photos: Path, tmp_path: Path) -> None:
    """Neither by the sketch of another one nor by a comparison grid."""
    (photos / "a.jpg").rename(photos / "b.jpg")
    grid = photos / "sheets" / "compare_01.png"
    grid.parent.mkdir()
    (photos / "grey.png").rename(grid)
    before = {path: path.read_bytes() for path in (photos / "b.jpg", photos / "b.png", grid)}
    for given, target in (([photos / "b.jpg", photos / "b.png"], "b.png"), ([grid], "sheets/compare_01.png")):
        with pytest.raises(UserError, match=f"out .*photos: its {target} would overwrite the photo .*{target}, give"):
            translate(*given, "--model", models["plain"], "--out", photos, "--compare")
    assert {path: path.read_bytes() for path in before} == before


def test_a_bad_image_is_named_and_the_others_are_translated(
    models: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    data = (photos / "a.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(data[: len(data) // 2])
    options = ["--model", str(models["plain"]), "--out", str(tmp_path / "o")]
    command = [sys.executable, "-m", "limner", "translate", str(photos), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: 1 image could not be read:")
    assert "cut.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] == f"3 images in {tmp_path / 'o'}"
    assert sorted(path.stem for path in (tmp_path / "o").glob("*.png")) == ["a", "b", "grey"]


def test_a_small_face_is_cut_out_or_put_on_paper(
    models: dict[str, Path], photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "limner")
    (tmp_path / "people").mkdir()
    cv2.imwrite(str(tmp_path / "people" / "pilot.png"), cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR))
    out, common = tmp_path / "out", ("--model", models["plain"], "--out", tmp_path / "out")
    translate(tmp_path / "people", photos / "b.png", *common)
    height, width = read_image(out / "pilot.png").shape[:2]
    assert height == width < 256
    assert "b.png: no face found, drawn whole" in caplog.messages
    faceless = (out / "b.png").read_bytes()
    translate(tmp_path / "people", photos / "b.png", *common, "--paste")
    assert read_image(out / "pilot.png").shape[:2] == (512, 512)
    translate(tmp_path / "people", photos / "b.png", *common, "--face", "off")
    assert read_image(out / "pilot.png").shape[:2] == (512, 512)
    assert (out / "b.png").read_bytes() == faceless


def test_pasting_a_portrait_changes_nothing_and_what_cannot_be_pasted_is_refused(
    models: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    translate(photos / "b.png", "--model", models["plain"], "--out", out, "--paste")
    pasted = (out / "b.png").read_bytes()
    translate(photos / "b.png", "--model", models["plain"], "--out", out, "--face", "off")
    assert (out / "b.png").read_bytes() == pasted
    for options, message in (
        (("--face", "off"), "leave out --face off"),
        (("--mode", "crop"), "leave out --mode crop"),
    ):
        with pytest.raises(UserError, match=message):
            translate(photos / "b.png", "--model", models["plain"], "--out", out, "--paste", *options)
