"""Which image comes when, and how it is changed: pure functions of the seed and the place in the stream.

A job reads one endless stream of images: epoch after epoch, each a fresh permutation of the whole split. Everything
about an image follows from its position in that stream, so a loader's whole state is one integer, resume is exact at
any batch, ranks share the stream without talking, and two loaders agree by construction.

Remainder policy, `carry`: an epoch that the global batch does not divide is finished by the first batch of the next.
No batch is ever smaller, every rank has as many, and after k epochs every image has been seen exactly k times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from limner.core.batch import Batch
from limner.core.config import AugmentConfig
from limner.core.images import LUMA
from limner.core.util.errors import UserError
from limner.data_pipeline.index import Record

FloatArray = npt.NDArray[np.float64]

# Words that keep draws for different purposes apart although they share seed and number.
_SHUFFLE, _AUGMENT = 1, 2


@dataclass(frozen=True)
class LoaderSpec:
    """What a loader is asked for.

    root, records: the dataset directory and the split's images.
    batch_size: images per batch of this rank; the global batch is this times `world`.
    start: position in the job's stream at which the job goes on, the same on every rank.
    device: where batches are wanted. threads: for decoding. cache: keep decoded images in memory.
    paired: yield sketches too.

    Raises UserError where one global batch is more than the whole split, or pairs are asked of unpaired images.
    """

    root: Path
    records: tuple[Record, ...]
    image_size: int
    augment: AugmentConfig
    batch_size: int
    seed: int
    rank: int
    world: int
    start: int
    device: torch.device
    threads: int
    cache: bool
    paired: bool

    def __post_init__(self) -> None:
        check_global_batch(self.batch_size, self.world, len(self.records))
        if self.paired and any(record.sketch is None for record in self.records):
            raise UserError(
                f"{self.root} holds images without sketches: pairs need a data set that was prepared from pairs"
            )

    @property
    def warps(self) -> bool:
        """Whether images are turned, shifted or scaled at all."""
        return any((self.augment.rotate_degrees, self.augment.shift, self.augment.scale))

    @property
    def colours(self) -> bool:
        """Whether the colours of photos are changed at all."""
        return self.augment.colour > 0

    def record_at(self, position: int) -> Record:
        """The image at a position of the stream."""
        count = len(self.records)
        order = permutation(self.seed, epoch_of(position, count), count)
        return self.records[int(order[position % count])]

    def files_at(self, position: int) -> tuple[str, ...]:
        """The files behind a position: the photo and, where pairs are asked for, its sketch."""
        record = self.record_at(position)
        return record.files if self.paired else (record.photo,)

    def augmentation_at(self, position: int) -> "Augmentation":
        """How the image at a position of the stream is changed."""
        return draw_augmentation(self.augment, self.image_size, self.seed, position)

    def batches(self) -> Iterator[range]:
        """This rank's positions by batches, endlessly; batch k starts at start + (k * world + rank) * batch_size."""
        first = self.start + self.rank * self.batch_size
        while True:
            yield range(first, first + self.batch_size)
            first += self.world * self.batch_size

    def batch(self, positions: Sequence[int], images: Sequence[Tensor]) -> Batch:
        """The loaded (photos,) or (photos, sketches) of `positions` as a batch, all but the positions on `device`."""
        photo, *sketch = (image.to(self.device, non_blocking=True) for image in images)
        style = torch.tensor([self.record_at(position).style for position in positions])
        return Batch(
            photo=photo,
            sketch=sketch[0] if sketch else None,
            style=style.to(self.device, non_blocking=True),
            position=torch.tensor(positions),
        )


def _uniform(seed: int, purpose: int, number: int, count: int) -> FloatArray:
    """`count` draws in [0, 1) that belong to (seed, purpose, number), in 53 bits each.

    Philox is a counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): the number
    is the high word of its counter, so no two numbers share draws. Raw words are used because NumPy promises them to
    stay the same in every version and on every platform, and does not promise it for Generator's methods (NEP 19).
    """
    bits = np.random.Philox(key=np.array([seed, purpose], np.uint64), counter=np.array([0, 0, 0, number], np.uint64))
    words: npt.NDArray[np.uint64] = bits.random_raw(count)
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


@lru_cache(maxsize=2)  # a batch reaches at most from one epoch into the next
def permutation(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """The order of an epoch: (count,) int64, read-only, a permutation of 0 ... count - 1."""
    order = np.argsort(_uniform(seed, _SHUFFLE, epoch, count), kind="stable").astype(np.int64)
    order.flags.writeable = False
    return order


def epoch_of(position: int, count: int) -> int:
    """The epoch to which a position belongs, from 0."""
    return position // count


def steps_to_finish(start: int, epochs: int, count: int, global_batch: int) -> int:
    """Global batches from `start` until at least `epochs` epochs of `count` images are seen; 0 if they are."""
    return max(0, -((start - epochs * count) // global_batch))


def check_global_batch(batch_size: int, world: int, count: int, accumulate: int = 1) -> None:
    """Raise UserError where one step of all workers takes more than the whole split of `count` images."""
    asked = batch_size * accumulate * world
    if asked > count:
        times, smaller = (f" x accumulate {accumulate}", ", a smaller --accumulate") if accumulate > 1 else ("", "")
        raise UserError(
            f"batch size {batch_size}{times} on {world} workers asks for {asked} images at once, the split has "
            f"{count}: at most all of them fit, use a smaller --batch-size{smaller} or fewer --workers"
        )


@dataclass(frozen=True)
class Augmentation:
    """The changes to one image, in the order of application: warp, crop, mirror; colour on the photo.

    load_size: side in pixels to which the image is resized first.
    x, y: left and top edge of the crop in pixels. mirror: left-right.
    angle: degrees, clockwise in the picture. scale: factor, over 1 enlarges. shift_x, shift_y: pixels, right and down.
    brightness, contrast, saturation: factors on the photo, 1 for no change.
    """

    load_size: int
    x: int
    y: int
    mirror: bool
    angle: float
    scale: float
    shift_x: float
    shift_y: float
    brightness: float
    contrast: float
    saturation: float

    def warp(self) -> FloatArray:
        """(2, 3) matrix from an output point (x, y, 1) to the input point shown there; pixel i reaches from i to i + 1.

        Turns and scales about the middle of the image, then shifts. Outside the image its edge pixels go on.
        """
        cos, sin = np.cos(np.deg2rad(self.angle)) / self.scale, np.sin(np.deg2rad(self.angle)) / self.scale
        linear = np.array([[cos, sin], [-sin, cos]])
        middle = np.full(2, self.load_size / 2)
        offset = middle - linear @ (middle + np.array([self.shift_x, self.shift_y]))
        return np.column_stack([linear, offset])

    def colour(self) -> FloatArray:
        """(3, 4) matrix from (R, G, B, 1) in 0..255 to the changed R, G, B, which are rounded and clipped.

        Saturation fades to the pixel's luma, brightness scales, contrast spreads about mid-grey (127.5).
        """
        grey = np.tile(LUMA, (3, 1))
        linear = self.contrast * self.brightness * (self.saturation * np.eye(3) + (1 - self.saturation) * grey)
        return np.column_stack([linear, np.full(3, 127.5 * (1 - self.contrast))])


def draw_augmentation(config: AugmentConfig, image_size: int, seed: int, position: int) -> Augmentation:
    """The changes that belong to (seed, position).

    Each option has its own draw whether or not it is on, so that switching one on leaves the others as they were.
    """
    load_size = config.resolved_load_size(image_size)
    x, y, mirror, *draws = _uniform(seed, _AUGMENT, position, 10).tolist()
    angle, scale, shift_x, shift_y, *colours = (2 * draw - 1 for draw in draws)
    brightness, contrast, saturation = (1 + config.colour * draw for draw in colours)
    return Augmentation(
        load_size=load_size,
        x=int(x * (load_size - image_size + 1)),
        y=int(y * (load_size - image_size + 1)),
        mirror=config.flip and mirror < 0.5,
        angle=config.rotate_degrees * angle,
        scale=1 + config.scale * scale,
        shift_x=config.shift * load_size * shift_x,
        shift_y=config.shift * load_size * shift_y,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
    )
