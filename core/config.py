"""What every run has: frozen, typed values, checked when they are made. Reads no flag and no file.

A task's presets name complete values of its config; a command line overrides fields; the result is stored as
config.json in the run directory, and nobody reads flags after that.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from limner.core.util.errors import UserError

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Fit = Literal["stretch", "pad", "crop"]
BundleDtype = Literal["fp32", "fp16"]
Launcher = Literal["ray", "local"]
LoaderKind = Literal["auto", "dali", "reference"]
Resume = Literal["auto", "never"]

IMAGE_SIZES = (64, 128, 256, 512, 1024)


def require(condition: bool, message: str) -> None:
    """Raise a UserError with `message` (got, allowed, what to do) unless `condition`."""
    if not condition:
        raise UserError(message)


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes to training images, each a function of the seed and the image's index in the sample stream."""

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
class OptimizerConfig:
    """Adam for all networks; the defaults are the paper's (Isola et al. 2017, section 3.3)."""

    lr: float = 2e-4
    """Learning rate."""
    beta1: float = 0.5
    """Decay of Adam's mean of gradients."""
    beta2: float = 0.999
    """Decay of Adam's mean of squared gradients."""
    discriminator_lr_factor: float = 1.0
    """The discriminator's rate as a multiple of `lr`: two time scales (Heusel et al. 2017)."""
    lr_decay_epochs: int = 0
    """Epochs at the end over which the learning rate falls linearly to zero; 0: constant."""

    def __post_init__(self) -> None:
        require(0.0 < self.lr < 1.0, f"lr {self.lr}: must be in (0, 1)")
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            require(0.0 <= value < 1.0, f"{name} {value}: must be in [0, 1)")
        require(self.discriminator_lr_factor > 0.0, "discriminator-lr-factor must be positive")
        require(self.lr_decay_epochs >= 0, f"lr-decay-epochs {self.lr_decay_epochs}: must not be negative")


@dataclass(frozen=True)
class CadenceConfig:
    """How often a run logs, writes sample grids and saves, in images seen by the whole job."""

    report_images: int = 100
    """Images between two points in TensorBoard and metrics.jsonl."""
    sample_epochs: int = 1
    """Epochs between two sample grids."""
    save_images: int = 0
    """Images between two saves within an epoch; 0: save at the end of each epoch only."""
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
    """Side of the generated images in pixels: 64, 128, 256, 512 or 1024."""
    epochs: int = 20
    """Passes over the training images."""
    batch_size: int = 1
    """Images per worker and step; the global batch is this times workers times `accumulate`."""
    accumulate: int = 1
    """Batches whose gradients are added before one optimizer step."""
    seed: int = 0
    """Of initial weights, the order of the images and all other random numbers."""
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
    keep_best: str = ""
    """The validation metric of the best checkpoint, which is kept besides the newest; empty: the task's first."""
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
class LaunchConfig:
    """How a run is started; all of it may differ on resume."""

    run: str = ""
    """Run directory; empty: runs/TASK-PRESET."""
    workers: int = 1
    """Data-parallel workers."""
    launcher: Launcher = "ray"
    """ray: Ray Train workers; local: processes of this machine, or torchrun's if it started the command."""
    loader: LoaderKind = "auto"
    """auto: DALI if it can be imported, else the reference loader (OpenCV)."""
    resume: Resume = "auto"
    """auto: resume from the newest good checkpoint of the run; never: refuse a run directory that has one."""
    storage: str = ""
    """A shared path or URL (s3://...) to which the run is mirrored at each save and from which it is restored."""
    retries: int = 3
    """Restarts of lost workers (Ray only)."""
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
