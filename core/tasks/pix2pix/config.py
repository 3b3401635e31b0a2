"""A photo-to-sketch run as one value, and its presets."""

from dataclasses import dataclass, field

from limner.core.config import CadenceConfig, DiffAugmentConfig, OptimizerConfig, TrainConfig, require
from limner.core.losses import GanLoss
from limner.core.networks.config import PatchGANConfig, PhotoGeneratorConfig, UNetConfig
from limner.core.tasks.task import Preset


@dataclass(frozen=True)
class Pix2PixConfig(TrainConfig):
    """A photo-to-sketch run (Isola et al. 2017, arXiv:1611.07004)."""

    generator: PhotoGeneratorConfig = field(default_factory=UNetConfig)
    discriminator: PatchGANConfig = field(default_factory=PatchGANConfig)
    gan_loss: GanLoss = "bce"
    """bce: the paper's; lsgan; hinge; relativistic: each real patch against a generated one."""
    l1_weight: float = 100.0
    """Factor on the mean absolute error in the generator's loss."""
    lpips_weight: float = 0.0
    """Factor on LPIPS, the distance in AlexNet's features, in the generator's loss; its weights must be installed."""
    feature_matching_weight: float = 0.0
    """Factor on the distance of real and generated pairs in the discriminator's features."""
    gradient_weight: float = 0.0
    """Factor on the mean absolute error of horizontal and vertical differences in the generator's loss."""
    distill_from: str = ""
    """A trained model (bundle, run or name) whose sketches the generator learns from too; empty: none."""
    distill_weight: float = 1.0
    """Factor on the distance to that model's sketch: L1, LPIPS and gradients, weighted as to the real one."""
    discriminator_weight: float = 0.5
    """Factor on the discriminator's loss, which slows it against the generator."""
    diff_augment: DiffAugmentConfig = field(default_factory=lambda: DiffAugmentConfig(colour=False, translation=0.0))
    """Colours change on the photo only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.generator.resolved(self.image_size)
        channels = (self.generator.in_channels, self.generator.out_channels)
        require(channels == (3, 3), f"generator channels {channels}: training is on RGB images, 3 in and 3 out")
        least, scales = self.discriminator.least_image_size, self.discriminator.scales
        require(
            self.image_size >= least,
            f"discriminator layers {self.discriminator.layers}{f' at {scales} scales' if scales > 1 else ''}: needs "
            f"images of at least {least} pixels, got {self.image_size}",
        )
        for name in ("l1_weight", "lpips_weight", "feature_matching_weight", "gradient_weight", "distill_weight"):
            value = getattr(self, name)
            require(value >= 0.0, f"{name.replace('_', '-')} {value}: must not be negative")
        require(
            not self.distill_from or self.l1_weight + self.lpips_weight + self.gradient_weight > 0.0,
            "distill-from: l1-weight, lpips-weight and gradient-weight are all 0, so that there is nothing to learn",
        )
        require(self.discriminator_weight > 0.0, "discriminator-weight must be positive")

    @property
    def teacher(self) -> str:
        """What the generator is distilled from."""
        return self.distill_from


PRESETS = {
    "demo": Preset(
        Pix2PixConfig(
            image_size=128,
            epochs=4,
            cache=True,
            ema_halflife_images=500.0,
            optimizer=OptimizerConfig(lr=4e-4),
            generator=UNetConfig(width=24),
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
        "Isola et al. 2017: batch norm, dropout, batch 1, constant rate. With --epochs 200 --optimizer.lr-decay-epochs "
        "100 it is the schedule of the authors' PyTorch port.",
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
}
