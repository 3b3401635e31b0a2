import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from limner.core.bundle import (
    CARD,
    CONFIG,
    WEIGHTS,
    BundleConfig,
    bundle_hash,
    load_bundle_config,
    load_generator,
    save_bundle,
)
from limner.core.networks.config import DCGANGeneratorConfig, UNetConfig
from limner.core.networks.init import init_weights
from limner.core.util.errors import UserError

SKETCHER = BundleConfig("pix2pix", 64, "pad", ("outline", "soft"), UNetConfig(width=2, depth=4, styles=2))
PAPER = BundleConfig("dcgan", 64, "crop", (), DCGANGeneratorConfig("paper", latent=5, width=2))
MODERN = BundleConfig("dcgan", 64, "stretch", (), DCGANGeneratorConfig("modern", latent=5, width=2))


def generator_of(config: BundleConfig, seed: int = 0) -> torch.nn.Module:
    generator = config.build()
    init_weights(generator, seed)
    return generator


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    save_bundle(tmp_path / "model", generator_of(SKETCHER), SKETCHER)
    return tmp_path / "model"


@pytest.mark.parametrize("config", [SKETCHER, PAPER, MODERN])
def test_what_is_loaded_is_what_was_saved(tmp_path: Path, config: BundleConfig) -> None:
    generator = generator_of(config).train()
    directory = tmp_path / "runs" / "a" / "model"
    save_bundle(directory, generator, config)
    assert load_bundle_config(directory) == config
    loaded = load_generator(str(directory))
    assert type(loaded) is type(generator)
    assert loaded.state_dict().keys() == generator.state_dict().keys()
    for name, value in generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert generator.training


def test_equal_weights_are_equal_files_whenever_and_wherever_they_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_bundle(tmp_path / "a" / "model", generator_of(SKETCHER), SKETCHER)
    monkeypatch.setattr("time.time", lambda: 4e9)
    save_bundle(tmp_path / "elsewhere" / "b", generator_of(SKETCHER).requires_grad_(False).eval(), SKETCHER)
    first, second = files(tmp_path / "a" / "model"), files(tmp_path / "elsewhere" / "b")
    assert first.keys() == {WEIGHTS, CONFIG, CARD}
    assert first == second
    assert bundle_hash(tmp_path / "a" / "model") == bundle_hash(str(tmp_path / "elsewhere" / "b"))


@pytest.mark.parametrize("changed", ["weights", "config"])
def test_the_hash_follows_weights_and_config_but_not_the_card(bundle: Path, tmp_path: Path, changed: str) -> None:
    before = bundle_hash(bundle)
    (bundle / CARD).write_text("notes", encoding="utf-8")
    assert bundle_hash(bundle) == before
    config = replace(SKETCHER, fit="crop") if changed == "config" else SKETCHER
    save_bundle(tmp_path / "other", generator_of(SKETCHER, seed=int(changed == "weights")), config)
    assert bundle_hash(tmp_path / "other") != before


def test_the_card_tells_what_goes_in_and_by_which_names(bundle: Path) -> None:
    card = (bundle / CARD).read_text(encoding="utf-8")
    assert "(N, 3, 64, 64)" in card
    assert "`pad`" in card
    assert "Styles, by number: outline, soft." in card


def test_a_new_bundle_takes_the_place_of_the_old_one_whole(bundle: Path) -> None:
    (bundle / "left-over.txt").write_text("of the old one", encoding="utf-8")
    save_bundle(bundle, generator_of(MODERN), MODERN)
    assert load_bundle_config(bundle) == MODERN
    assert files(bundle).keys() == {WEIGHTS, CONFIG, CARD}
    assert list(bundle.parent.iterdir()) == [bundle], "nothing stays beside it"


def test_a_full_disk_leaves_the_old_bundle_as_it_was(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(bundle)

    def full(path: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    for write in ("write_bytes", "write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, write, full)
            with pytest.raises(OSError, match="No space left"):
                save_bundle(bundle, generator_of(SKETCHER, seed=1), SKETCHER)
        assert files(bundle) == before
    save_bundle(bundle, generator_of(SKETCHER, seed=1), SKETCHER)
    assert files(bundle) != before
    assert list(bundle.parent.iterdir()) == [bundle], "what was half written is gone"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_others_may_read_the_weights_as_they_may_read_the_config(bundle: Path) -> None:
    assert (bundle / WEIGHTS).stat().st_mode == (bundle / CONFIG).stat().st_mode


@pytest.mark.parametrize("absent", [WEIGHTS, CONFIG, ""])
def test_a_directory_without_its_files_is_no_bundle(bundle: Path, absent: str) -> None:
    directory = bundle if absent else bundle / "nowhere"
    if absent:
        (bundle / absent).unlink()
    message = r"not a model bundle \(no config.json and generator.safetensors\): give a finished run or its model/"
    for load in (load_bundle_config, load_generator):
        with pytest.raises(UserError, match=message):
            load(directory)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 3}, r"config.json: bundle format 3, this version reads formats 1 and 2: export the model again$"),
        ({"format": None}, r"bundle format None, this version reads formats 1 and 2"),
        ({"generator": {"kind": "nerf"}}, r"damaged bundle config \('nerf'\): export the model again$"),
        ({"generator": {"layers": 9}}, r"damaged bundle config \(.*unexpected keyword argument 'layers'\)"),
        ({"generator": {"depth": 99}}, r"generator depth 99: must be 2 to 10"),
        ({"generator": "unet"}, r"damaged bundle config"),
        ({"trained_on": "faces"}, r"damaged bundle config \(.*unexpected keyword argument 'trained_on'\)"),
    ],
)
def test_a_config_of_another_program_or_version_is_refused(
    bundle: Path, changes: dict[str, object], message: str
) -> None:
    values = json.loads((bundle / CONFIG).read_text(encoding="utf-8")) | changes
    (bundle / CONFIG).write_text(json.dumps(values), encoding="utf-8")
    assert_refused(bundle, message)


@pytest.mark.parametrize(
    "generator",
    [
        UNetConfig(width=4, depth=4, styles=3),
        DCGANGeneratorConfig("paper", latent=8, width=4),
        DCGANGeneratorConfig("modern", latent=8, width=4),
    ],
)
def test_bundles_of_format_1_load(tmp_path: Path, generator: UNetConfig | DCGANGeneratorConfig) -> None:
    """As versions wrote them that knew no kinds of generators."""
    styles = tuple(f"style {number}" for number in range(generator.styles or 0))
    config = BundleConfig("any", 64, "pad", styles, generator)
    save_bundle(tmp_path / "new", config.build(), config)
    save_bundle(tmp_path / "old", load_generator(tmp_path / "new"), config)
    values = json.loads((tmp_path / "old" / CONFIG).read_text(encoding="utf-8")) | {"format": 1}
    del values["generator"]["kind"]
    (tmp_path / "old" / CONFIG).write_text(json.dumps(values), encoding="utf-8")
    assert load_bundle_config(tmp_path / "old") == load_bundle_config(tmp_path / "new") == config
    old, new = (load_generator(tmp_path / name).state_dict() for name in ("old", "new"))
    assert all(torch.equal(value, new[name]) for name, value in old.items())


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"a"', "null", "{}"])
def test_a_config_that_is_no_config_is_refused(bundle: Path, text: str) -> None:
    (bundle / CONFIG).write_text(text, encoding="utf-8")
    assert_refused(bundle, r"config.json: (damaged bundle config|bundle format None)")


DAMAGED = r"generator.safetensors: damaged or foreign weights \(.*\): copy or export the bundle again$"


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_truncated_weights_are_refused(bundle: Path, kept: int) -> None:
    (bundle / WEIGHTS).write_bytes((bundle / WEIGHTS).read_bytes()[:kept])
    assert_refused(bundle, DAMAGED)


@pytest.mark.parametrize("wrong", ["missing", "unknown", "shape"])
def test_weights_of_another_architecture_are_refused(bundle: Path, wrong: str) -> None:
    weights = safetensors.torch.load_file(bundle / WEIGHTS)
    if wrong == "missing":
        del weights["down.0.0.bias"]
    else:
        weights["extra" if wrong == "unknown" else "down.0.0.bias"] = torch.zeros(9)
    (bundle / WEIGHTS).write_bytes(safetensors.torch.save(weights))
    assert_refused(bundle, DAMAGED)


def assert_refused(bundle: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_generator(bundle)
    assert "\n" not in str(caught.value)
