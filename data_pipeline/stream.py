"""Which sample comes when, and how it is augmented: pure functions of the seed and the position in the stream.

A run reads one endless stream of samples: epoch after epoch, each a new permutation of the whole split. Everything
about a sample follows from its position in that stream. So a loader's whole state is one integer, resume is exact at
any batch, ranks need no communication, and two loaders agree by construction.

Where the global batch does not divide an epoch, its last batch is filled from the next epoch: all batches have the
same size, all ranks have the same number of them, and k epochs hold every image exactly k times.
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
from limner.core.util.text import count_of
from limner.data_pipeline.index import Record

FloatArray = npt.NDArray[np.float64]

# RNG streams: independent random numbers from one seed.
_SHUFFLE, _AUGMENT = 1, 2


@dataclass(frozen=True)
class SampleStream:
    """One rank's part of the stream of samples, as a loader is to yield it.

    root, records: the dataset directory and the records of the split.
    batch_size: images per batch of this rank; the global batch is this times `world_size`.
    start: position at which the run starts or resumes, the same on every rank.
    device: where the batches go. threads: for decoding. cache: keep decoded images in memory.
    paired: yield sketches too.

    Raises UserError if a global batch is larger than the split, or if pairs are requested of unpaired images.
    """

    root: Path
    records: tuple[Record, ...]
    image_size: int
    augment: AugmentConfig
    batch_size: int
    seed: int
    rank: int
    world_size: int
    start: int
    device: torch.device
    threads: int
    cache: bool
    paired: bool

    def __post_init__(self) -> None:
        check_global_batch(self.batch_size, self.world_size, len(self.records))
        if self.paired and any(record.sketch is None for record in self.records):
            raise UserError(f"{self.root} has images without sketches: give a dataset that was prepared from pairs")

    @property
    def load_size(self) -> int:
        """Side in pixels to which images are resized before augmentation."""
        return self.augment.resolved_load_size(self.image_size)

    @property
    def warps(self) -> bool:
        """Whether images are rotated, shifted or scaled."""
        return any((self.augment.rotate_degrees, self.augment.shift, self.augment.scale))

    @property
    def recolours(self) -> bool:
        """Whether the colours of photos are changed."""
        return self.augment.colour > 0

    def record_at(self, position: int) -> Record:
        """Return the record at a position of the stream."""
        count = len(self.records)
        order = permutation(self.seed, epoch_of(position, count), count)
        return self.records[int(order[position % count])]

    def files_at(self, position: int) -> tuple[str, ...]:
        """Return the image files at a position: the photo and, if `paired`, its sketch."""
        record = self.record_at(position)
        return record.files if self.paired else (record.photo,)

    def augmentation_at(self, position: int) -> "Augmentation":
        """Sample the augmentation at a position."""
        return sample_augmentation(self.augment, self.image_size, self.seed, position)

    def batches(self) -> Iterator[range]:
        """Yield this rank's positions, endlessly; batch k begins at start + (k * world_size + rank) * batch_size."""
        first = self.start + self.rank * self.batch_size
        while True:
            yield range(first, first + self.batch_size)
            first += self.world_size * self.batch_size

    def make_batch(self, positions: Sequence[int], images: Sequence[Tensor]) -> Batch:
        """Build the batch at `positions`, on `device` except for the positions.

        images: (photos,) or (photos, sketches), each (N, 3, S, S) float32 in [-1, 1].
        """
        photo, *sketch = (image.to(self.device, non_blocking=True) for image in images)
        style = torch.tensor([self.record_at(position).style for position in positions])
        return Batch(
            photo=photo,
            sketch=sketch[0] if sketch else None,
            style=style.to(self.device, non_blocking=True),
            position=torch.tensor(positions),
        )


def _uniform(seed: int, rng_stream: int, index: int, count: int) -> FloatArray:
    """Sample `count` numbers in [0, 1), of 53 bits each, keyed by (seed, rng_stream, index).

    Philox is a counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): the index
    is the high word of its counter, so no two indices share numbers. Raw words are used because NumPy keeps them
    the same in every version and on every platform, and does not for the methods of Generator (NEP 19).
    """
    bits = np.random.Philox(key=np.array([seed, rng_stream], np.uint64), counter=np.array([0, 0, 0, index], np.uint64))
    words: npt.NDArray[np.uint64] = bits.random_raw(count)
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


@lru_cache(maxsize=2)  # a batch spans two epochs at most
def permutation(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """Return the order of an epoch: (count,) int64, read-only, a permutation of 0 ... count - 1."""
    order = np.argsort(_uniform(seed, _SHUFFLE, epoch, count), kind="stable").astype(np.int64)
    order.flags.writeable = False
    return order


def epoch_of(position: int, count: int) -> int:
    """Return the epoch of a position, counted from 0."""
    return position // count


def steps_to_finish(start: int, epochs: int, count: int, global_batch: int) -> int:
    """Count the global batches from `start` until `epochs` epochs of `count` images are seen; 0 if they are."""
    return max(0, -((start - epochs * count) // global_batch))


def check_global_batch(batch_size: int, world_size: int, count: int, accumulate: int = 1) -> None:
    """Raise UserError if one step of all workers needs more images than the split has (`count`)."""
    needed = batch_size * accumulate * world_size
    if needed > count:
        times, smaller = (f" x accumulate {accumulate}", ", a smaller --accumulate") if accumulate > 1 else ("", "")
        raise UserError(
            f"batch size {batch_size}{times} on {count_of(world_size, 'worker')} asks for {needed} images at once, the "
            f"split has {count}: use a smaller --batch-size{smaller} or fewer --workers"
        )


@dataclass(frozen=True)
class Augmentation:
    """How one sample is augmented, in order of application: warp, crop, mirror; colour on the photo.

    load_size: side in pixels to which the image is resized first.
    x, y: left and top edge of the crop in pixels. mirror: left-right.
    angle: degrees, clockwise. scale: factor, over 1 enlarges. shift_x, shift_y: pixels, right and down.
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
        """Return the (2, 3) matrix from an output point (x, y, 1) to its input point; pixel i spans i to i + 1.

        Rotates and scales about the centre of the image, then shifts. Points outside the image take the edge pixel.
        """
        cos, sin = np.cos(np.deg2rad(self.angle)) / self.scale, np.sin(np.deg2rad(self.angle)) / self.scale
        linear = np.array([[cos, sin], [-sin, cos]])
        centre = np.full(2, self.load_size / 2)
        offset = centre - linear @ (centre + np.array([self.shift_x, self.shift_y]))
        return np.column_stack([linear, offset])

    def colour(self) -> FloatArray:
        """Return the (3, 4) matrix from (R, G, B, 1) in 0..255 to R, G, B, to be rounded and clipped.

        Saturation blends with the pixel's luma, brightness scales, contrast scales about mid-grey (127.5).
        """
        grey = np.tile(LUMA, (3, 1))
        linear = self.contrast * self.brightness * (self.saturation * np.eye(3) + (1 - self.saturation) * grey)
        return np.column_stack([linear, np.full(3, 127.5 * (1 - self.contrast))])


def sample_augmentation(config: AugmentConfig, image_size: int, seed: int, position: int) -> Augmentation:
    """Sample the augmentation of the image at `position`, from an RNG stream keyed by (seed, position).

    Each option has its own random number whether or not it is on, so that turning one on does not change the others.
    """
    load_size = config.resolved_load_size(image_size)
    x, y, mirror, *uniform = _uniform(seed, _AUGMENT, position, 10).tolist()
    angle, scale, shift_x, shift_y, *colours = (2 * value - 1 for value in uniform)
    brightness, contrast, saturation = (1 + config.colour * value for value in colours)
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
