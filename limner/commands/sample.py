"""`limner sample`: portraits from noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from PIL import Image

from limner.core.config import require
from limner.core.image_grid import make_grid, save_png
from limner.core.images import Uint8Image
from limner.core.runs import find_model
from limner.core.util.cli import parse
from limner.core.util.errors import UserError
from limner.core.util.log import log
from limner.core.util.progress import track
from limner.core.util.text import count_of
from limner.data_pipeline.index import load_dataset
from limner.deploy.load import load

if TYPE_CHECKING:  # what imports torch is imported on use, so that --help is fast
    from torch import Tensor

    from limner.deploy.sampling import Sampler

STEPS_PER_LATENT, FRAME_MS = 16, 60
NEIGHBOURS, MAX_COMPARED = 3, 16


@dataclass(frozen=True)
class Options:
    """Generate portraits from noise."""

    model: Annotated[str | None, tyro.conf.arg(metavar="DIR_OR_NAME")] = None
    """A model bundle, a run or an engine; left out: the newest run's that takes noise."""
    out: Path = Path("out")
    """The folder for sample_0000.png, ... and grid.png, which are replaced."""
    count: int = 64
    """Number of portraits."""
    seed: int = 0
    """The same seed gives the same portraits; with a bundle also whatever the batch size."""
    batch_size: int = 16
    """Portraits at a time."""
    truncation: float = math.inf
    """Largest absolute value of a latent: 1 or less gives likelier and more similar portraits."""
    style: Annotated[str | None, tyro.conf.arg(metavar="NAME_OR_NUMBER")] = None
    """The style of all portraits, for a model that has several; left out: each in turn."""
    interpolate: int = 0
    """Also interpolate between the first N latents, in interpolation.gif."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """A dataset: also show the training images nearest to the first samples, in nearest.png."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate portraits and what was asked for about them; arguments: None: those of this process."""
    options = parse(Options, arguments, prog="limner sample")
    require(options.batch_size >= 1, f"batch-size {options.batch_size}: must be at least 1")
    require(options.interpolate >= 0, f"interpolate {options.interpolate}: must be at least 0")
    from limner.deploy.sampling import Sampler

    with load(find_model(options.model, "latent")) as sampler:
        if not isinstance(sampler, Sampler):
            raise UserError(f"{sampler.name}: translates photos and generates nothing from noise: limner translate")
        photos = read_training_images(options, sampler.image_size)
        latents = sampler.sample_latents(options.count, options.seed, options.truncation)
        styles = sampler.choose_styles(options.count, options.style)
        images = generate(sampler, latents, styles, options)
        for number, image in enumerate(images):
            save_png(options.out / f"sample_{number:04d}.png", image)
        save_png(options.out / "grid.png", make_grid(images))
        if options.interpolate:
            save_interpolation(sampler, options)
    if photos is not None:
        save_nearest(images[:MAX_COMPARED], photos, options.out)
    log.info(f"{count_of(len(images), 'portrait')} in {options.out}, all of them in {options.out / 'grid.png'}")


def generate(sampler: "Sampler", latents: "Tensor", styles: list[int] | None, options: Options) -> list[Uint8Image]:
    """Generate all images with progress."""
    images = sampler.generate(latents, styles, options.batch_size)
    return list(track(images, len(latents), "generating", options.batch_size))


def save_interpolation(sampler: "Sampler", options: Options) -> None:
    """Write interpolation.gif: a loop through the first latents, all frames in one style."""
    from limner.deploy.sampling import slerp_loop

    loop = slerp_loop(sampler.sample_latents(options.interpolate, options.seed, options.truncation), STEPS_PER_LATENT)
    first_style = "0" if sampler.styles else None
    styles = sampler.choose_styles(len(loop), options.style if options.style is not None else first_style)
    frames = [Image.fromarray(image) for image in generate(sampler, loop, styles, options)]
    path = options.out / "interpolation.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0)


def read_training_images(options: Options, size: int) -> "Tensor | None":
    """Read the training images of --data, (N, 3, size, size) float in [-1, 1]; None without it."""
    from limner.deploy.evaluation.portraits import read_enough

    return None if options.data is None else read_enough(load_dataset(options.data), "train", size, NEIGHBOURS)


def save_nearest(images: list[Uint8Image], photos: "Tensor", out: Path) -> None:
    """Write nearest.png, samples next to their nearest training images, and print how to tell copies."""
    from limner.core.batch import to_tensor
    from limner.core.metrics.neighbours import distance_within, nearest_images
    from limner.deploy.evaluation.portraits import neighbour_grid

    samples = to_tensor(np.stack(images))
    names = [f"sample_{number:04d}.png" for number in range(len(samples))]
    save_png(out / "nearest.png", neighbour_grid(samples, photos, NEIGHBOURS, names))
    of_samples = float(nearest_images(samples, photos).distance.median())
    of_training = float(distance_within(photos).median())
    log.info(
        f"median distance to the nearest training image: samples {of_samples:.3f}, training images {of_training:.3f};\n"
        f"samples much nearer than that are copies: see {out / 'nearest.png'}"
    )
