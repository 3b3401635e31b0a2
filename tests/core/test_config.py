from dataclasses import replace

import pytest

from limner.core.config import AugmentConfig, CadenceConfig, DiffAugmentConfig, LaunchConfig, OptimizerConfig, flatten
from limner.core.networks.config import DCGANDiscriminatorConfig, DCGANGeneratorConfig, PatchGANConfig, UNetConfig
from limner.core.tasks import TASKS
from limner.core.tasks.dcgan.config import DCGANConfig
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.util.errors import UserError


def frozen(stages: int) -> DCGANDiscriminatorConfig:
    return DCGANDiscriminatorConfig(frozen_stages=stages)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pix2PixConfig(image_size=250), "image-size 250: must be one of 64, 128, 256, 512, 1024"),
        (lambda: Pix2PixConfig(epochs=0), "epochs 0: must be at least 1"),
        (lambda: Pix2PixConfig(batch_size=0), "batch-size 0"),
        (lambda: Pix2PixConfig(seed=-1), "seed -1"),
        (lambda: Pix2PixConfig(image_size=64, generator=UNetConfig(depth=8)), "can be halved 6 times at most"),
        (lambda: Pix2PixConfig(augment=AugmentConfig(load_size=100)), "load-size 100 is under image-size 256"),
        (lambda: Pix2PixConfig(epochs=5, optimizer=OptimizerConfig(lr_decay_epochs=6)), "is more than epochs 5"),
        (lambda: DCGANConfig(image_size=512), "image-size 512: must be 64, 128 or 256 for DCGAN"),
        (lambda: DCGANConfig(generator=DCGANGeneratorConfig(styles=3)), "follow from the data; give --condition"),
        (lambda: DCGANConfig(image_size=64, init_from="m", discriminator=frozen(5)), "at image-size 64 it has 4"),
        (lambda: DCGANConfig(discriminator=frozen(1)), "freezes random weights unless --init-from"),
        (lambda: DCGANConfig(collapse_fraction=1.0), "collapse-fraction 1.0"),
        (lambda: DiffAugmentConfig(cutout=1.0), "diff-augment cutout 1.0"),
        (lambda: Pix2PixConfig(generator=UNetConfig(in_channels=1)), r"channels \(1, 3\): training is on RGB"),
        (lambda: Pix2PixConfig(image_size=64, discriminator=PatchGANConfig(layers=5)), "at least 128 pixels, got 64"),
        (lambda: UNetConfig(dropout=1.0), r"dropout 1.0: must be in \[0, 1\)"),
        (
            lambda: Pix2PixConfig(image_size=64, discriminator=PatchGANConfig(scales=3, layers=4)),
            "4 at 3 scales: needs",
        ),
        (lambda: PatchGANConfig(layers=0), "layers 0: must be 1 to 6"),
        (lambda: PatchGANConfig(scales=4), "scales 4: must be 1 to 3"),
        (lambda: OptimizerConfig(lr=0.0), "lr 0.0"),
        (lambda: AugmentConfig(shift=-0.1), "shift -0.1"),
        (lambda: CadenceConfig(keep_checkpoints=0), "keep-checkpoints 0"),
        (lambda: LaunchConfig(workers=0), "workers 0"),
        (lambda: LaunchConfig(gpus_per_worker=1.5), "gpus-per-worker 1.5: must be a whole number where it is over 1"),
    ],
)
def test_a_wrong_value_is_refused_by_name(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(("size", "depth"), [(64, 6), (128, 7), (256, 8), (1024, 8)])
def test_depth_follows_the_image_size_unless_it_is_given(size: int, depth: int) -> None:
    config = replace(TASKS["pix2pix"].presets["demo"].config, image_size=size)
    assert isinstance(config, Pix2PixConfig)
    assert isinstance(config.generator, UNetConfig)
    assert config.generator.resolved(size).depth == depth
    assert UNetConfig(depth=5).resolved(size).depth == 5


def test_load_size_keeps_the_papers_proportion() -> None:
    assert [AugmentConfig().resolved_load_size(size) for size in (64, 256, 512)] == [72, 286, 572]


def test_presets_are_what_the_paper_and_the_readme_say() -> None:
    assert set(TASKS["pix2pix"].presets) == {"demo", "lite", "paper", "fast"}
    paper = TASKS["pix2pix"].presets["paper"].config
    assert isinstance(paper, Pix2PixConfig)
    assert (paper.generator.norm, paper.generator.dropout, paper.batch_size, paper.epochs) == ("batch", 0.5, 1, 100)
    assert (paper.l1_weight, paper.discriminator_weight) == (100.0, 0.5)
    assert (paper.optimizer.lr, paper.optimizer.beta1, paper.optimizer.beta2) == (2e-4, 0.5, 0.999)
    assert paper.augment.resolved_load_size(paper.image_size) == 286
    fast = TASKS["pix2pix"].presets["fast"].config
    assert isinstance(fast, Pix2PixConfig)
    assert fast.generator.norm == "instance"
    assert fast.compile
    assert fast.ema_halflife_images > 0
    assert fast.batch_size > 1


def test_portrait_presets_are_what_the_paper_and_the_readme_say() -> None:
    assert set(TASKS["dcgan"].presets) == {"demo", "paper", "modern"}
    paper, modern = (TASKS["dcgan"].presets[name].config for name in ("paper", "modern"))
    assert isinstance(paper, DCGANConfig)
    assert isinstance(modern, DCGANConfig)
    assert (paper.generator.architecture, paper.generator.width, paper.generator.latent) == ("paper", 64, 100)
    assert (paper.optimizer.lr, paper.optimizer.beta1, paper.gan_loss) == (2e-4, 0.5, "bce")
    assert not paper.diff_augment.active
    assert paper.r1_weight == paper.ema_halflife_images == 0.0
    assert modern.diff_augment.active
    assert modern.r1_weight > 0.0
    assert modern.ema_halflife_images > 0.0
    for config in (paper, modern, TASKS["dcgan"].presets["demo"].config):
        assert config.augment.resolved_load_size(config.image_size) == config.image_size  # crops would leak


def test_flatten_names_nested_fields_with_dots() -> None:
    assert flatten({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == {"a": 1, "b.c": 2, "b.d.e": 3}
