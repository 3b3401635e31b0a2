"""A run that learns to generate portraits from noise as one value, and its presets."""

import math
from dataclasses import dataclass, field

from limner.core.config import (
    AugmentConfig,
    CadenceConfig,
    DiffAugmentConfig,
    OptimizerConfig,
    TrainConfig,
    require,
)
from limner.core.losses import GanLoss
from limner.core.networks.config import DCGANDiscriminatorConfig, DCGANGeneratorConfig
from limner.core.tasks.task import Preset


@dataclass(frozen=True)
class DCGANConfig(TrainConfig):
    """A run that learns to generate portraits from noise (Radford et al. 2016, arXiv:1511.06434, and what came after).

    Unlike pix2pix it crops nothing from the data: crops, rotations and shifts of the data are learned as part of it and
    show in the samples. DiffAugment does not leak so.
    """

    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(load_size=0))
    generator: DCGANGeneratorConfig = field(default_factory=DCGANGeneratorConfig)
    discriminator: DCGANDiscriminatorConfig = field(default_factory=DCGANDiscriminatorConfig)
    gan_loss: GanLoss = "relativistic"
    """bce: the paper's; lsgan; hinge; relativistic: each real image against a generated one."""
    r1_weight: float = 0.0
    """Factor on half the discriminator's mean squared gradient norm at real images."""
    r2_weight: float = 0.0
    """The same at generated images."""
    penalty_interval: int = 4
    """Steps between two penalties, each weighted as many times (Karras et al. 2020, "lazy regularization")."""
    diff_augment: DiffAugmentConfig = field(default_factory=DiffAugmentConfig)
    condition: str = ""
    """"style" or the name of an attribute in the dataset's index by which images are conditioned; empty: none."""
    collapse_fraction: float = 0.3
    """Samples whose diversity is under this fraction of the data's are called collapsed."""
    collapse_after_images: int = 20000
    """Images before which nothing is called collapsed: every generator starts with samples that are all alike."""
    stop_on_collapse: bool = False
    """Stop the run then; else warn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not self.generator.styles, "generator styles: follow from the data; give --condition, not their number")
        require(self.image_size <= 256, f"image-size {self.image_size}: must be 64, 128 or 256 for DCGAN")
        require(self.r1_weight >= 0.0 and self.r2_weight >= 0.0, "r1-weight and r2-weight must not be negative")
        require(self.penalty_interval >= 1, f"penalty-interval {self.penalty_interval}: must be at least 1")
        require(0.0 <= self.collapse_fraction < 1.0, f"collapse-fraction {self.collapse_fraction}: must be in [0, 1)")
        stages = int(math.log2(self.image_size)) - 2
        frozen = self.discriminator.frozen_stages
        require(
            frozen <= stages, f"discriminator frozen-stages {frozen}: at image-size {self.image_size} it has {stages}"
        )
        require(
            not frozen or bool(self.init_from),
            f"discriminator frozen-stages {frozen}: freezes random weights unless --init-from gives trained ones",
        )


PRESETS = {
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
}
