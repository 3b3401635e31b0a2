"""Named runs. Each says where its values come from, what it is for and what to expect of it."""

from dataclasses import dataclass

from limner.core.config import (
    CadenceConfig,
    DCGANConfig,
    DCGANDiscriminatorConfig,
    DCGANGeneratorConfig,
    DiffAugmentConfig,
    OptimizerConfig,
    PatchGANConfig,
    Pix2PixConfig,
    TrainConfig,
    UNetConfig,
)


@dataclass(frozen=True)
class Preset:
    """A complete config and what it promises."""

    config: TrainConfig
    promise: str


PRESETS: dict[str, dict[str, Preset]] = {
    "pix2pix": {
        "demo": Preset(
            Pix2PixConfig(
                image_size=128,
                epochs=4,
                cache=True,
                ema_halflife_images=500.0,
                optimizer=OptimizerConfig(lr=4e-4),
                generator=UNetConfig(width=24, styles=3),
                discriminator=PatchGANConfig(width=16),
                cadence=CadenceConfig(report_images=80),
            ),
            "Built-in portraits at 128 pixels on 2 CPU cores in a few minutes; recognisable sketches in three styles.",
        ),
        "lite": Preset(
            Pix2PixConfig(
                epochs=20,
                ema_halflife_images=500.0,
                generator=UNetConfig(width=16),
                discriminator=PatchGANConfig(width=16),
            ),
            "For CPUs: a 3.4 M generator at 256 pixels. CUHK's 66 training pairs x 20 epochs in about 3 minutes on 2 "
            "cores; on held-out pairs L1 under 0.075, SSIM over 0.63.",
        ),
        "paper": Preset(
            Pix2PixConfig(
                epochs=100,
                precision="fp32",
                generator=UNetConfig(norm="batch", dropout=0.5),
                discriminator=PatchGANConfig(norm="batch"),
            ),
            "Isola et al. 2017: batch norm, dropout, batch 1, constant rate. With --epochs 200 "
            "--optimizer.lr-decay-epochs 100 it is the schedule of the authors' PyTorch port.",
        ),
        "fast": Preset(
            Pix2PixConfig(
                epochs=100,
                batch_size=16,
                compile=True,
                cache=True,
                ema_halflife_images=5000.0,
                cadence=CadenceConfig(report_images=1000, sample_epochs=5),
            ),
            "For a GPU: the paper's networks with instance norm, batch 16, bf16 where the machine has it, compiled, "
            "averaged weights.",
        ),
    },
    "dcgan": {
        "demo": Preset(
            DCGANConfig(
                image_size=64,
                epochs=36,
                batch_size=16,
                cache=True,
                ema_halflife_images=1500.0,
                generator=DCGANGeneratorConfig(width=16),
                discriminator=DCGANDiscriminatorConfig(width=16),
                optimizer=OptimizerConfig(lr=1e-3, beta1=0.0, beta2=0.99),
                r1_weight=0.5,
                penalty_interval=8,
                collapse_after_images=8000,
                cadence=CadenceConfig(report_images=400, sample_epochs=5),
            ),
            "Built-in portraits at 64 pixels on 2 CPU cores in about 4 minutes; recognisable new ones.",
        ),
        "paper": Preset(
            DCGANConfig(
                image_size=64,
                epochs=25,
                batch_size=64,
                precision="fp32",
                generator=DCGANGeneratorConfig(architecture="paper"),
                discriminator=DCGANDiscriminatorConfig(architecture="paper"),
                gan_loss="bce",
                diff_augment=DiffAugmentConfig(colour=False, translation=0.0),
                cadence=CadenceConfig(report_images=1000),
            ),
            "Radford et al. 2016: batch norm, transposed convolutions, BCE, Adam 2e-4 with beta1 0.5; batch 64 as in "
            "PyTorch's example.",
        ),
        "modern": Preset(
            DCGANConfig(
                image_size=64,
                epochs=200,
                batch_size=16,
                cache=True,
                ema_halflife_images=2000.0,
                generator=DCGANGeneratorConfig(width=32),
                discriminator=DCGANDiscriminatorConfig(width=32),
                optimizer=OptimizerConfig(lr=1e-3, beta1=0.0, beta2=0.99),
                r1_weight=0.5,
                penalty_interval=8,
                cadence=CadenceConfig(report_images=1000, sample_epochs=5),
            ),
            "For few images: residual networks without batch norm, relativistic loss, lazy R1, DiffAugment, averaged "
            "weights.",
        ),
    },
}
