"""The plain loader (OpenCV): the reference for DALI in tests, and the loader on platforms without DALI."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from limner.core.batch import Batch, to_tensor
from limner.core.images import Uint8Image
from limner.core.util.errors import UserError
from limner.data_pipeline.images import resize
from limner.data_pipeline.index import PREPARE, Record
from limner.data_pipeline.stream import Augmentation, SampleStream

_END_MARKERS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}
"""First two bytes -> last bytes of a complete file: JPEG (ITU-T T.81 B.1.1.3) and PNG."""
_PREFETCH_BATCHES = 2


def read_encoded(root: Path, name: str) -> npt.NDArray[np.uint8]:
    """Read an encoded image of a dataset, checked to be complete: (bytes,) uint8.

    Decoders silently fill the missing part of a truncated JPEG with grey.
    Raises UserError for a file that is missing, empty, truncated, or neither JPEG nor PNG.
    """
    try:
        data = (root / name).read_bytes()
    except FileNotFoundError:
        raise _unusable(root, name, "missing") from None
    if data[:2] not in _END_MARKERS:
        raise _unusable(root, name, "not a JPEG or PNG image" if data else "empty")
    if not data.endswith(_END_MARKERS[data[:2]]):
        raise _unusable(root, name, "truncated")
    return np.frombuffer(data, np.uint8)


def read_dataset_image(root: Path, name: str) -> Uint8Image:
    """Read an image of a dataset, (H, W, 3) uint8 RGB; UserError if it is missing or damaged."""
    image = cv2.imdecode(read_encoded(root, name), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise _unusable(root, name, "damaged")
    return np.asarray(image, np.uint8)


def _unusable(root: Path, name: str, problem: str) -> UserError:
    return UserError(f"{root / name} is {problem}: delete {root} and run {PREPARE} again")


@lru_cache(maxsize=4)
def _taps(size: int, target: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Return, for each of `target` pixels, the indices and weights of its source pixels among `size`: (taps, target).

    Linear interpolation; when shrinking, the filter is as wide as a target pixel; edge pixels are repeated outside the
    image. This is DALI's resize with INTERP_LINEAR and antialiasing.
    """
    step = size / target
    radius = max(step, 1.0)
    centres = (np.arange(target) + 0.5) * step - 0.5
    indices = np.floor(centres - radius) + np.arange(1, 2 * np.ceil(radius) + 1)[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(indices - centres) / radius)
    return indices.clip(0, size - 1).astype(np.intp), (weights / weights.sum(axis=0)).astype(np.float32)


def resample(image: Uint8Image, size: int) -> Uint8Image:
    """Resize (H, W, 3) uint8 to (size, size, 3) by antialiased linear interpolation; keep an image of that size."""
    if image.shape == (size, size, 3):
        return image
    pixels = image.astype(np.float32)
    for _ in range(2):  # down the columns, then along the rows
        resampled = np.zeros((size, *pixels.shape[1:]), np.float32)
        for indices, weights in zip(*_taps(len(pixels), size), strict=True):
            resampled += weights[:, None, None] * pixels[indices]
        pixels = resampled.swapaxes(0, 1)
    return pixels.round().astype(np.uint8)


def augment(image: Uint8Image, augmentation: Augmentation, stream: SampleStream, is_photo: bool) -> Uint8Image:
    """Augment (load_size, load_size, 3) uint8 to (image_size, image_size, 3) by the options that `stream` has on."""
    if stream.warps:
        image = warp(image, augmentation.warp())
    x, y, side = augmentation.x, augmentation.y, stream.image_size
    image = image[y : y + side, x : x + side]
    if is_photo and stream.recolours:
        image = np.asarray(cv2.transform(image, augmentation.colour()), np.uint8)
    return image[:, ::-1] if augmentation.mirror else image


def warp(image: Uint8Image, matrix: npt.NDArray[np.float64]) -> Uint8Image:
    """Sample (S, S, 3) uint8 bilinearly, clamped to the edges, at matrix (2, 3) times each pixel's centre (x, y, 1).

    Pixel i has its centre at i + 1/2. Not OpenCV's warp, whose weights come in steps of 1/32 before its version 5.
    """
    side = len(image)
    centres = np.arange(side) + 0.5
    x, y = np.meshgrid(centres, centres)
    places = np.stack([x, y, np.ones_like(x)], axis=2) @ matrix.T
    grid = torch.from_numpy(places * (2.0 / side) - 1.0)[None]
    source = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    found = F.grid_sample(source, grid, padding_mode="border", align_corners=False)[0]
    return found.permute(1, 2, 0).round().to(torch.uint8).numpy()


def open_reference(stream: SampleStream) -> Iterator[Batch]:
    """Yield the batches of `stream`, endlessly; `stream.threads` threads prefetch them."""
    cache: dict[str, Uint8Image] = {}

    def load(name: str) -> Uint8Image:
        if name in cache:
            return cache[name]
        image = resample(read_dataset_image(stream.root, name), stream.load_size)
        if stream.cache:
            cache[name] = image
        return image

    def prepare(position: int) -> list[Uint8Image]:
        augmentation = stream.augmentation_at(position)
        names = stream.files_at(position)
        return [augment(load(name), augmentation, stream, is_photo=name == names[0]) for name in names]

    with ThreadPoolExecutor(stream.threads, thread_name_prefix="loader") as pool:
        pending: deque[tuple[range, list[Future[list[Uint8Image]]]]] = deque()
        for positions in stream.batches():
            pending.append((positions, [pool.submit(prepare, position) for position in positions]))
            if len(pending) > _PREFETCH_BATCHES:
                positions, futures = pending.popleft()
                samples = [future.result() for future in futures]
                yield stream.make_batch(
                    positions, [to_tensor(np.stack(images)) for images in zip(*samples, strict=True)]
                )


def read_pairs(root: Path, records: Sequence[Record], size: int, batch_size: int) -> Iterator[Batch]:
    """Yield all records once and in order, without augmentation; the last batch may be smaller.

    Images are resized to (size, size) like the inputs of `limner translate`. Positions count from 0. sketch is None if
    any record of a batch has none.
    """

    def load(name: str) -> Uint8Image:
        return resize(read_dataset_image(root, name), size, size)

    for first in range(0, len(records), batch_size):
        rows = records[first : first + batch_size]
        sketches = [load(record.sketch) for record in rows if record.sketch is not None]
        yield Batch(
            photo=to_tensor(np.stack([load(record.photo) for record in rows])),
            sketch=to_tensor(np.stack(sketches)) if len(sketches) == len(rows) else None,
            style=torch.tensor([record.style for record in rows]),
            position=torch.arange(first, first + len(rows)),
        )


def read_photos(root: Path, records: Sequence[Record], size: int) -> Tensor:
    """Read all photos of `records` in order, without augmentation: (N, 3, size, size) float32 in [-1, 1]."""
    unpaired = [replace(record, sketch=None) for record in records]
    return torch.cat([batch.photo for batch in read_pairs(root, unpaired, size, batch_size=64)])
