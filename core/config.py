"""What a run is: frozen, typed values, checked when they are made. Reads no flag and no file.

`PRESETS` in presets.py names complete values of these; a command line overrides fields; the result is stored as
config.json in the run directory and nobody reads flags after that.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from limner.core.util.errors import UserError

Norm = Literal["instance", "batch", "none"]
Upsample = Literal["transpose", "resize"]
GanLoss = Literal["bce", "lsgan", "hinge"]
PortraitLoss = Literal["bce", "hinge", "relativistic"]
Architecture = Literal["paper", "modern"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Fit = Literal["stretch", "pad", "crop"]
Launcher = Literal["ray", "local"]
LoaderKind = Literal["auto", "dali", "reference"]
Resume = Literal["auto", "never"]

IMAGE_SIZES = (64, 128, 256, 512, 1024)


def require(condition: bool, message: str) -> None:
    """Raise a UserError with `message` (got, allowed, what to do) unless `condition`."""
    if not condition:
        raise UserError(message)


@dataclass(frozen=True)
class UNetConfig:
    """The U-Net generator of pix2pix."""

    in_channels: int = 3
    out_channels: int = 3
    width: int = 64
    """Channels after the first convolution; deeper levels have 2, 4 and at most 8 times as many."""
    depth: int | None = None
    """Halvings from input to bottleneck; None: down to 1x1 pixel, at most 8 (the paper's, at 256x256)."""
    norm: Norm = "instance"
    """instance: with affine weights, the same in training and inference; batch: the paper's."""
    dropout: float = 0.0
    """Probability in the three inner decoder blocks while training; off at inference."""
    upsample: Upsample = "transpose"
    """transpose: 4x4 transposed convolutions (the paper's); resize: doubling by nearest neighbour, then 3x3."""
    styles: int = 0
    """Number of one-hot style maps joined to the input; 0: unconditioned."""

    def __post_init__(self) -> None:
        require(self.width >= 1, f"generator width {self.width}: must be at least 1")
        require(
            self.depth is None or 2 <= self.depth <= 10,
            f"generator depth {self.depth}: must be 2 to 10, or left out to fit the image size",
        )
        require(0.0 <= self.dropout < 1.0, f"generator dropout {self.dropout}: must be in [0, 1)")
        require(self.in_channels >= 1 and self.out_channels >= 1, "generator channels must be at least 1")
        require(self.styles >= 0, f"generator styles {self.styles}: must not be negative")


@dataclass(frozen=True)
class PatchGANConfig:
    """The PatchGAN discriminator of pix2pix, which sees photo and sketch side by side in channels."""

    width: int = 64
    layers: int = 3
    """Strided layers; 1, 2, 3, 4, 5 give receptive fields of 16, 34, 70, 142, 286 pixels."""
    norm: Norm = "instance"

    def __post_init__(self) -> None:
        require(self.width >= 1, f"discriminator width {self.width}: must be at least 1")
        require(1 <= self.layers <= 6, f"discriminator layers {self.layers}: must be 1 to 6")


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes to training images, each drawn from (seed, place in the sample stream)."""

    load_size: int | None = None
    """Side to which images are resized before the random crop; None: 286/256 of the image size (pix2pix's paper's); 0:
    the image size itself, so that nothing is cropped."""
    flip: bool = True
    """Mirror half of the images, photo and sketch alike."""
    rotate_degrees: float = 0.0
    """Largest rotation to either side, photo and sketch alike."""
    shift: float = 0.0
    """Largest shift in x and y as a fraction of the side, photo and sketch alike."""
    scale: float = 0.0
    """Largest relative enlargement or reduction, photo and sketch alike."""
    colour: float = 0.0
    """Largest relative change of brightness, contrast and saturation, on the photo only."""

    def __post_init__(self) -> None:
        require(0.0 <= self.rotate_degrees <= 180.0, f"rotate-degrees {self.rotate_degrees}: must be 0 to 180")
        for name in ("shift", "scale", "colour"):
            value = getattr(self, name)
            require(0.0 <= value < 1.0, f"{name} {value}: must be in [0, 1)")

    def resolved_load_size(self, image_size: int) -> int:
        """Side in pixels before the crop; 286 for 256, in proportion for other sizes."""
        return round(image_size * 286 / 256) if self.load_size is None else self.load_size or image_size


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam for both networks; the defaults are the paper's (Isola et al. 2017, section 3.3)."""

    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    discriminator_lr_factor: float = 1.0
    """The discriminator's rate as a multiple of `lr`: two time scales (Heusel et al. 2017)."""
    lr_decay_epochs: int = 0
    """The last so many epochs take the learning rate linearly to zero; 0: constant."""

    def __post_init__(self) -> None:
        require(0.0 < self.lr < 1.0, f"lr {self.lr}: must be in (0, 1)")
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            require(0.0 <= value < 1.0, f"{name} {value}: must be in [0, 1)")
        require(self.discriminator_lr_factor > 0.0, "discriminator-lr-factor must be positive")
        require(self.lr_decay_epochs >= 0, f"lr-decay-epochs {self.lr_decay_epochs}: must not be negative")


@dataclass(frozen=True)
class CadenceConfig:
    """How often a run reports, shows samples and saves, in images seen by the whole job."""

    report_images: int = 100
    sample_epochs: int = 1
    save_images: int = 0
    """Save also within an epoch, every so many images; 0: at the end of each epoch only."""
    keep_checkpoints: int = 3
    """Newest checkpoints that are kept, besides the best."""

    def __post_init__(self) -> None:
        require(self.report_images >= 1, f"report-images {self.report_images}: must be at least 1")
        require(self.sample_epochs >= 1, f"sample-epochs {self.sample_epochs}: must be at least 1")
        require(self.save_images >= 0, f"save-images {self.save_images}: must not be negative")
        require(self.keep_checkpoints >= 1, f"keep-checkpoints {self.keep_checkpoints}: must be at least 1")


@dataclass(frozen=True)
class TrainConfig:
    """What every task's run has. All of it must be the same on resume, except `epochs` under a constant schedule."""

    data: str = ""
    """A prepared dataset directory; empty: the built-in drawn portraits."""
    image_size: int = 256
    epochs: int = 20
    batch_size: int = 1
    """Images per worker and step; the global batch is this times workers times `accumulate`."""
    accumulate: int = 1
    """Batches whose gradients are added before one optimizer step."""
    seed: int = 0
    precision: Precision = "auto"
    """auto: bf16 where the hardware has it, else fp32."""
    compile: bool = False
    """torch.compile both networks; falls back with a warning."""
    cache: bool = False
    """Keep decoded images in memory after their first use (about 0.25 MB each at 286 pixels)."""
    ema_halflife_images: float = 0.0
    """Half-life of the averaged generator weights that samples and the bundle use; 0: the weights as they are."""
    init_from: str = ""
    """A model bundle whose weights the run starts from; empty: random weights."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    cadence: CadenceConfig = field(default_factory=CadenceConfig)

    def __post_init__(self) -> None:
        sizes = ", ".join(map(str, IMAGE_SIZES))
        require(self.image_size in IMAGE_SIZES, f"image-size {self.image_size}: must be one of {sizes}")
        require(self.epochs >= 1, f"epochs {self.epochs}: must be at least 1")
        require(self.batch_size >= 1, f"batch-size {self.batch_size}: must be at least 1")
        require(self.accumulate >= 1, f"accumulate {self.accumulate}: must be at least 1")
        require(0 <= self.seed < 2**63, f"seed {self.seed}: must be from 0 to under 2^63")
        require(self.ema_halflife_images >= 0.0, "ema-halflife-images must not be negative")
        load_size = self.augment.resolved_load_size(self.image_size)
        require(
            load_size >= self.image_size,
            f"load-size {load_size} is under image-size {self.image_size}: the crop must fit into the loaded image",
        )
        require(
            self.optimizer.lr_decay_epochs <= self.epochs,
            f"lr-decay-epochs {self.optimizer.lr_decay_epochs} is more than epochs {self.epochs}",
        )


@dataclass(frozen=True)
class Pix2PixConfig(TrainConfig):
    """A photo-to-sketch run (Isola et al. 2017, arXiv:1611.07004)."""

    generator: UNetConfig = field(default_factory=UNetConfig)
    discriminator: PatchGANConfig = field(default_factory=PatchGANConfig)
    gan_loss: GanLoss = "bce"
    l1_weight: float = 100.0
    discriminator_weight: float = 0.5
    """Factor on the discriminator's loss, which slows it against the generator."""

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = int(math.log2(self.image_size))
        depth = self.generator.depth
        require(
            depth is None or depth <= levels,
            f"generator depth {depth}: an image of {self.image_size} pixels can be halved {levels} times at most",
        )
        channels = (self.generator.in_channels, self.generator.out_channels)
        require(channels == (3, 3), f"generator channels {channels}: training is on RGB pictures, 3 in and 3 out")
        least = 2 ** (self.discriminator.layers + 2)
        require(
            self.image_size >= least,
            f"discriminator layers {self.discriminator.layers}: needs images of at least {least} pixels, got "
            f"{self.image_size}",
        )
        require(self.l1_weight >= 0.0, f"l1-weight {self.l1_weight}: must not be negative")
        require(self.discriminator_weight > 0.0, "discriminator-weight must be positive")

    @property
    def resolved_generator(self) -> UNetConfig:
        """The generator with its depth written down."""
        depth = self.generator.depth or min(8, int(math.log2(self.image_size)))
        return dataclasses.replace(self.generator, depth=depth)


@dataclass(frozen=True)
class DCGANGeneratorConfig:
    """A generator of portraits from noise."""

    architecture: Architecture = "modern"
    """paper: transposed convolutions and batch norm (Radford et al. 2016); modern: residual, no batch norm."""
    latent: int = 100
    """Numbers that an image is made from."""
    width: int = 64
    """Channels at half the image's side; twice as many at each smaller side (modern: at most 512)."""
    out_channels: int = 3
    styles: int = 0
    """Number of classes that the generator is told by a one-hot vector; set from `condition`, not by hand."""

    def __post_init__(self) -> None:
        require(self.latent >= 1, f"generator latent {self.latent}: must be at least 1")
        require(self.width >= 1, f"generator width {self.width}: must be at least 1")
        require(self.out_channels >= 1, "generator channels must be at least 1")
        require(self.styles >= 0, f"generator styles {self.styles}: must not be negative")


@dataclass(frozen=True)
class DCGANDiscriminatorConfig:
    """A discriminator of whole portraits."""

    architecture: Architecture = "modern"
    width: int = 64
    """Channels at half the image's side; twice as many at each smaller side (modern: at most 512)."""
    frozen_stages: int = 0
    """The first so many halvings keep their weights: for fine-tuning with --init-from (Mo et al. 2020, "Freeze D")."""

    def __post_init__(self) -> None:
        require(self.width >= 1, f"discriminator width {self.width}: must be at least 1")
        require(self.frozen_stages >= 0, f"discriminator frozen-stages {self.frozen_stages}: must not be negative")


@dataclass(frozen=True)
class DiffAugmentConfig:
    """Random changes to real and generated images alike before the discriminator."""

    colour: bool = True
    """Brightness, saturation and contrast."""
    translation: float = 0.125
    """Largest shift in x and y as a fraction of the side."""
    cutout: float = 0.0
    """Side of a blanked square as a fraction of the image's. The paper's policy has 0.5, which here leaves holes where
    faces should be (docs/LOG.md)."""

    def __post_init__(self) -> None:
        for name in ("translation", "cutout"):
            value = getattr(self, name)
            require(0.0 <= value < 1.0, f"diff-augment {name} {value}: must be in [0, 1)")

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return self.colour or self.translation > 0.0 or self.cutout > 0.0


@dataclass(frozen=True)
class DCGANConfig(TrainConfig):
    """A run that learns to invent portraits from noise (Radford et al. 2016, arXiv:1511.06434, and what came after).

    Unlike pix2pix it crops nothing from the data: crops, rotations and shifts of the data are learned as part of it and
    show in the samples. DiffAugment does not leak so.
    """

    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(load_size=0))
    generator: DCGANGeneratorConfig = field(default_factory=DCGANGeneratorConfig)
    discriminator: DCGANDiscriminatorConfig = field(default_factory=DCGANDiscriminatorConfig)
    gan_loss: PortraitLoss = "relativistic"
    """bce: the paper's; relativistic: each real image against a generated one (Jolicoeur-Martineau 2019)."""
    r1_weight: float = 0.0
    """Factor on half the discriminator's mean squared gradient norm at real images."""
    r2_weight: float = 0.0
    """The same at generated images."""
    penalty_interval: int = 4
    """Steps from one R1 and R2 to the next, each weighted so many times (Karras et al. 2020, "lazy regularization")."""
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
        halvings = int(math.log2(self.image_size)) - 2
        frozen = self.discriminator.frozen_stages
        require(
            frozen <= halvings,
            f"discriminator frozen-stages {frozen}: at image-size {self.image_size} it has {halvings}",
        )
        require(
            not frozen or bool(self.init_from),
            f"discriminator frozen-stages {frozen}: freezes random weights unless --init-from gives trained ones",
        )


@dataclass(frozen=True)
class LaunchConfig:
    """How a run is started; all of it may differ on resume."""

    run: str = ""
    """Run directory; empty: runs/TASK-PRESET."""
    workers: int = 1
    launcher: Launcher = "ray"
    """ray: Ray Train workers; local: processes of this machine, or torchrun's where that started the script."""
    loader: LoaderKind = "auto"
    """auto: DALI where it can be imported, else the reference loader."""
    resume: Resume = "auto"
    """auto: go on from the newest good checkpoint of the run; never: refuse a run directory that has one."""
    storage: str = ""
    """A shared path or URL (s3://...) to which the run is mirrored at each save and from which it is restored."""
    retries: int = 3
    """Times that lost workers are started again (Ray only)."""
    cpus_per_worker: int = 0
    """CPU cores and threads of each worker; 0: the machine's, shared out evenly."""
    gpus_per_worker: float = 1.0
    """GPUs of each worker where the machine has any; a fraction shares one, 0 trains on the CPU."""

    def __post_init__(self) -> None:
        require(self.workers >= 1, f"workers {self.workers}: must be at least 1")
        require(self.retries >= 0, f"retries {self.retries}: must not be negative")
        require(self.cpus_per_worker >= 0, f"cpus-per-worker {self.cpus_per_worker}: must not be negative")
        gpus = self.gpus_per_worker
        require(gpus >= 0.0, f"gpus-per-worker {gpus}: must not be negative")
        require(gpus <= 1.0 or gpus.is_integer(), f"gpus-per-worker {gpus}: must be a whole number where it is over 1")


def to_dict(config: Any) -> dict[str, Any]:
    """A config dataclass as plain JSON values, nested."""
    return dataclasses.asdict(config)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
