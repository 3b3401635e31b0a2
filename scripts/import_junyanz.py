"""Bring a pix2pix generator of junyanz/pytorch-CycleGAN-and-pix2pix over, as a model bundle:

`python scripts/import_junyanz.py --checkpoint latest_net_G.pth --norm batch --out models/NAME`.
"""

from dataclasses import dataclass
from pathlib import Path

from limner.core.bundle import BundleConfig, save_bundle
from limner.core.junyanz import ForeignNorm, load_junyanz
from limner.core.util.cli import parse
from limner.core.util.errors import UserError, run_command


@dataclass(frozen=True)
class Options:
    """Turn a generator checkpoint of junyanz/pytorch-CycleGAN-and-pix2pix into a model bundle."""

    checkpoint: Path
    """Its latest_net_G.pth, of a unet_128, unet_256 or any other width and depth."""
    norm: ForeignNorm
    """What it was trained with; that repository's own default for pix2pix is batch."""
    out: Path
    """The bundle directory to make, such as models/NAME."""


def main() -> None:
    """Read, convert, write, and say how to use it."""
    options = parse(Options)
    if options.out.exists():
        raise UserError(f"{options.out} exists: give another --out")
    generator = load_junyanz(options.checkpoint, options.norm)
    depth = generator.config.depth
    assert depth is not None
    # The size that has one pixel at the bottleneck; photos are resized to it without regard to their aspect, as there.
    config = BundleConfig("pix2pix", image_size=2**depth, fit="stretch", styles=(), generator=generator.config)
    save_bundle(options.out, generator, config)
    millions = sum(weight.numel() for weight in generator.parameters()) / 1e6
    side = config.image_size
    print(
        f"a U-Net of {depth} levels, width {generator.config.width}, {millions:.2f} M weights, for {side}x{side} pixels"
    )
    print(f"model: {options.out}")
    print(f"next: python scripts/translate.py --model {options.out} PHOTO --out out/")


if __name__ == "__main__":
    run_command(main)
