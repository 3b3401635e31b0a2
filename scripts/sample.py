"""Draw portraits from noise: `python scripts/sample.py --model runs/faces/model --count 64 --seed 0 --out out/`."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from limner.core.batch import to_tensor
from limner.core.bundle import load_bundle_config, load_generator
from limner.core.image_grid import save_png, tiles
from limner.core.images import Uint8Image
from limner.core.metrics.neighbours import nearest_pictures, own_distance
from limner.core.runs import find_model
from limner.core.util.cli import parse
from limner.core.util.errors import UserError, run_command
from limner.core.util.progress import track
from limner.data_pipeline.index import load_dataset
from limner.deploy.evaluation.portraits import neighbour_sheet, read_enough
from limner.deploy.sampling import draw_latents, draw_styles, generate, generator_config, tour

FRAMES_PER_LEG, FRAME_MS = 16, 60
NEIGHBOURS, COMPARED = 3, 16


@dataclass(frozen=True)
class Options:
    """Draw portraits from noise."""

    model: str = ""
    """A bundle: the model/ directory of a run; empty: the newest run's."""
    out: Path = Path("out")
    """Where sample_0000.png ... and grid.png go; older ones of these names are replaced."""
    count: int = 64
    seed: int = 0
    """The same seed gives the same portraits, whatever the batch size."""
    batch_size: int = 16
    truncation: float = math.inf
    """Largest absolute value of a latent: 1 or less gives likelier and more similar portraits."""
    style: int | None = None
    """For a conditioned model: the class of all portraits; left out: each in turn."""
    interpolate: int = 0
    """Also walk through the first so many latents: interpolation.gif."""
    data: Path | None = None
    """A dataset: also show its training pictures nearest to samples, nearest.png."""

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("seed", 0), ("batch_size", 1), ("interpolate", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name.replace('_', '-')} {getattr(self, name)}: must be at least {least}")
        if not self.truncation > 0.0:
            raise UserError(f"truncation {self.truncation}: must be over 0; leave it out for none")


def main() -> None:
    """Read the options and write the pictures."""
    options = parse(Options)
    model = find_model(options.model)
    bundle = load_bundle_config(model)
    config = generator_config(bundle)
    generator = load_generator(model)
    photos = None
    if options.data is not None:
        photos = read_enough(load_dataset(options.data), "train", bundle.image_size, NEIGHBOURS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def draw(latents: Tensor, styles: Tensor) -> list[Uint8Image]:
        batches = generate(generator, latents, styles, options.batch_size, device)
        total = -(-len(latents) // options.batch_size)
        return [picture for batch in track(batches, total, "drawing") for picture in batch]

    latents = draw_latents(config, options.seed, options.count, options.truncation)
    pictures = draw(latents, draw_styles(config, options.count, options.style))
    for number, picture in enumerate(pictures):
        save_png(options.out / f"sample_{number:04d}.png", picture)
    save_png(options.out / "grid.png", tiles(pictures))
    if options.interpolate:
        stops = draw_latents(config, options.seed, options.interpolate, options.truncation)
        walk = tour(stops, FRAMES_PER_LEG)
        styles = draw_styles(config, len(walk), options.style if options.style is not None or not config.styles else 0)
        frames = [Image.fromarray(picture) for picture in draw(walk, styles)]
        file = options.out / "interpolation.gif"
        frames[0].save(file, save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0)
    if photos is not None:
        compare(to_tensor(np.stack(pictures[:COMPARED])), photos, options.out)
    print(f"{len(pictures)} portraits in {options.out}, all of them in {options.out / 'grid.png'}")


def compare(samples: Tensor, photos: Tensor, out: Path) -> None:
    """Write samples beside their nearest training pictures, and say whether they look learned by heart."""
    save_png(out / "nearest.png", neighbour_sheet(samples, photos, NEIGHBOURS))
    ours, theirs = (float(part.median()) for part in (nearest_pictures(samples, photos).distance, own_distance(photos)))
    print(f"median distance to the nearest training picture: samples {ours:.3f}, training pictures {theirs:.3f};")
    print(f"samples much nearer than that are copies: look at {out / 'nearest.png'}")


if __name__ == "__main__":
    run_command(main)
