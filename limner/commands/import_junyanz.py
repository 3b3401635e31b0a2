"""`limner import`: convert a generator of junyanz/pytorch-CycleGAN-and-pix2pix into a model bundle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limner.core.networks.config import CheckpointNorm
from limner.core.util.cli import parse
from limner.core.util.errors import UserError
from limner.core.util.log import log


@dataclass(frozen=True)
class Options:
    """Convert a generator checkpoint of junyanz/pytorch-CycleGAN-and-pix2pix into a model bundle."""

    checkpoint: Path
    """Its latest_net_G.pth, or CycleGAN's latest_net_G_A.pth: any U-Net, resnet_9blocks or resnet_6blocks."""
    norm: CheckpointNorm
    """What it was trained with; that repository's own default for pix2pix is batch."""
    out: Path
    """The bundle directory to make, such as models/NAME."""
    image_size: int | None = None
    """Side in pixels that it was trained at; left out: a U-Net's 2^levels, 256 for a ResNet."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, convert, write, and tell how to use it."""
    options = parse(Options, arguments, prog="limner import")
    from limner.core.bundle import BundleConfig, save_bundle  # torch: only after the help
    from limner.core.junyanz import image_size_of, load_junyanz

    if options.out.exists():
        raise UserError(f"{options.out} exists: give another --out")
    generator = load_junyanz(options.checkpoint, options.norm)
    size = image_size_of(generator, options.image_size)
    # Photos are resized to it without regard to their aspect, as there.
    config = BundleConfig("pix2pix", image_size=size, fit="stretch", styles=(), generator=generator.config)
    save_bundle(options.out, generator, config)
    millions = sum(weight.numel() for weight in generator.parameters()) / 1e6
    log.info(f"a {generator.config.kind} of {millions:.2f} M weights, for {size}x{size} pixels")
    log.info(f"model: {options.out}")
    log.info(f"next: limner translate --model {options.out} PHOTO --out out/")
