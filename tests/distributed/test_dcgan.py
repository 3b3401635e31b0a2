"""Portraits from noise keep the promises of the house: exact resume, two workers equal to one, starts from bundles."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.core.bundle import load_bundle_config, load_generator
from limner.core.config import CadenceConfig, LaunchConfig, OptimizerConfig
from limner.core.networks.config import DCGANDiscriminatorConfig, DCGANGeneratorConfig
from limner.core.spec import RunSpec
from limner.core.tasks.dcgan.config import DCGANConfig
from limner.core.training.checkpoint import load_newest
from limner.core.util.errors import LimnerError, UserError
from limner.data_pipeline.index import load_dataset
from limner.distributed.local import launch

Train = Callable[..., bool]
Remains = Callable[[Path], dict[str, Any]]

ONE = LaunchConfig(launcher="local", cpus_per_worker=1)
TWO = replace(ONE, workers=2)
CONFIG = DCGANConfig(
    image_size=64,
    epochs=2,
    batch_size=2,
    precision="fp32",
    ema_halflife_images=20.0,
    generator=DCGANGeneratorConfig(latent=8, width=4),
    discriminator=DCGANDiscriminatorConfig(width=4),
    optimizer=OptimizerConfig(discriminator_lr_factor=2.0),
    r1_weight=1.0,
    r2_weight=1.0,
    penalty_interval=2,
    cadence=CadenceConfig(report_images=1),
)
PAPER: dict[str, Any] = {
    "generator": DCGANGeneratorConfig("paper", latent=8, width=4),
    "discriminator": DCGANDiscriminatorConfig("paper", width=4),
    "gan_loss": "bce",
}


@pytest.fixture
def make_spec(tmp_path: Path, tiny_data: Path) -> Callable[..., RunSpec]:
    """A DCGAN run over the photos of the tiny pairs."""

    def make(name: str, launch: LaunchConfig = ONE, **changes: Any) -> RunSpec:
        data_hash = load_dataset(tiny_data).content_hash
        return RunSpec("dcgan", "test", replace(CONFIG, **changes), launch, tmp_path / name, tiny_data, data_hash)

    return make


@pytest.mark.parametrize("networks", [{}, PAPER], ids=["modern", "paper"])
def test_stopped_and_resumed_equals_straight(
    make_spec: Callable[..., RunSpec], train: Train, remains: Remains, networks: dict[str, Any]
) -> None:
    straight, stopped = (make_spec(name, **networks) for name in ("straight", "stopped"))
    assert train(straight)
    assert not train(stopped, stop_at=8)
    assert train(stopped)
    assert remains(stopped.run) == remains(straight.run)
    assert (straight.run / "samples" / "epoch_0002.png").is_file()


def test_two_workers_with_half_the_batch_have_the_gradients_of_one(
    make_spec: Callable[..., RunSpec], first_gradients: Callable[..., dict[str, torch.Tensor]]
) -> None:
    """Latents and DiffAugment are drawn by image, penalties are means over images. To 1e-4 of the largest gradient."""
    changes: dict[str, Any] = {
        "epochs": 1,
        "penalty_interval": 1,
        "cadence": CadenceConfig(save_images=4, keep_checkpoints=9),
    }
    one, two = make_spec("one", batch_size=4, **changes), make_spec("two", TWO, **changes)
    assert launch(one)
    assert launch(two)
    expected, found = first_gradients(one, 4), first_gradients(two, 4)
    assert len(expected) == len(found) > 20
    for name, gradient in expected.items():
        tolerance = 1e-4 * gradient.abs().max().item() + 1e-7  # a relativistic loss leaves the last bias alone
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=tolerance, msg=name)


def test_a_condition_reaches_networks_and_bundle(make_spec: Callable[..., RunSpec], train: Train) -> None:
    spec = make_spec("run", condition="style", epochs=1)
    assert train(spec)
    config = load_bundle_config(spec.run / "model")
    assert config.styles == load_dataset(spec.data).styles
    generator, latent = load_generator(spec.run / "model"), torch.ones(2, 8)
    images = generator(latent, torch.tensor([0, 1]))
    assert not torch.equal(images[0], images[1])


def test_a_run_starts_from_a_bundle_and_its_runs_discriminator(
    make_spec: Callable[..., RunSpec], train: Train, caplog: pytest.LogCaptureFixture
) -> None:
    first = make_spec("first", epochs=1)
    assert train(first)
    bundle = str(first.run / "model")
    frozen = replace(CONFIG.discriminator, frozen_stages=1)
    with caplog.at_level(logging.INFO, logger="limner"):
        second = make_spec("second", init_from=bundle, discriminator=frozen, epochs=1)
        assert train(second)
    assert "random weights" not in caplog.text
    before, after = (load_newest(spec.run / "checkpoints")[0] for spec in (first, second))
    assert before is not None
    assert after is not None
    same = {
        name
        for name, value in before["networks"]["discriminator"].items()
        if torch.equal(value, after["networks"]["discriminator"][name])
    }
    assert same >= {"stages.0.weight", "stages.0.bias"}
    assert "stages.1.conv.weight" not in same
    with caplog.at_level(logging.INFO, logger="limner"):
        train(make_spec("third", init_from=bundle, discriminator=DCGANDiscriminatorConfig(width=5), epochs=1))
    assert "its run's discriminator has other layers" in caplog.text
    with pytest.raises(UserError, match="it generates at image-size 64, the run at 128"):
        train(make_spec("fourth", init_from=bundle, image_size=128, augment=replace(CONFIG.augment, load_size=None)))


@pytest.mark.parametrize(
    ("width", "finding"), [(4, "no checkpoints next to it"), (5, "its run's discriminator has other layers")]
)
def test_random_weights_are_never_frozen(
    make_spec: Callable[..., RunSpec], train: Train, width: int, finding: str
) -> None:
    first = make_spec("first", epochs=1, discriminator=DCGANDiscriminatorConfig(width=width))
    assert train(first)
    if width == CONFIG.discriminator.width:
        shutil.rmtree(first.run / "checkpoints")
    frozen = replace(CONFIG.discriminator, frozen_stages=1)
    with pytest.raises(UserError, match=f"init-from .*: {finding}, and discriminator frozen-stages would freeze"):
        train(make_spec("second", init_from=str(first.run / "model"), discriminator=frozen))


def test_a_collapsed_run_stops_where_asked(make_spec: Callable[..., RunSpec], train: Train) -> None:
    spec = make_spec("run", collapse_fraction=0.99, collapse_after_images=1, stop_on_collapse=True)
    with pytest.raises(LimnerError, match="the samples have collapsed: their diversity is"):
        train(spec)
