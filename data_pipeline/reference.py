"""The slow, plain loader (OpenCV): DALI's oracle in tests and the way on platforms without DALI."""

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
from torch import Tensor

from limner.core.batch import Batch, to_tensor
from limner.core.images import Uint8Image
from limner.core.util.errors import UserError
from limner.data_pipeline.images import resize
from limner.data_pipeline.index import PREPARE, Record
from limner.data_pipeline.stream import Augmentation, LoaderSpec

_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}  # how a whole JPEG (ITU-T T.81 B.1.1.3) and PNG end
_BATCHES_AHEAD = 2


def read_encoded(root: Path, name: str) -> npt.NDArray[np.uint8]:
    """The bytes of an image file of a data set, checked to be there to the end: (bytes,) uint8.

    Decoders fill up a truncated JPEG with grey and say nothing. Raises UserError for a missing or truncated file.
    """
    try:
        data = (root / name).read_bytes()
    except FileNotFoundError:
        raise _unusable(root, name, "missing") from None
    if data[:2] not in _ENDS:
        raise _unusable(root, name, "not a JPEG or PNG image" if data else "empty")
    if not data.endswith(_ENDS[data[:2]]):
        raise _unusable(root, name, "truncated")
    return np.frombuffer(data, np.uint8)


def read_image(root: Path, name: str) -> Uint8Image:
    """An image of a data set, (H, W, 3) uint8 RGB. Raises UserError for one that is missing or damaged."""
    image = cv2.imdecode(read_encoded(root, name), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise _unusable(root, name, "damaged")
    return np.asarray(image, np.uint8)


def _unusable(root: Path, name: str, what: str) -> UserError:
    return UserError(f"{root / name} is {what}: delete {root} and run {PREPARE} again")


@lru_cache(maxsize=4)
def _taps(size: int, target: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """For each of `target` pixels the pixels, of `size`, that it is made of, and their weights; (taps, target) both.

    Linear interpolation; in shrinking the filter is as wide as a target pixel, and edge pixels go on outside the image.
    This is DALI's resize with INTERP_LINEAR and antialiasing.
    """
    step = size / target
    radius = max(step, 1.0)
    centres = (np.arange(target) + 0.5) * step - 0.5
    places = np.floor(centres - radius) + np.arange(1, 2 * np.ceil(radius) + 1)[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(places - centres) / radius)
    return places.clip(0, size - 1).astype(np.intp), (weights / weights.sum(axis=0)).astype(np.float32)


def resample(image: Uint8Image, size: int) -> Uint8Image:
    """(H, W, 3) uint8 -> (size, size, 3) uint8, by antialiased linear interpolation; as it is where it fits already."""
    if image.shape == (size, size, 3):
        return image
    pixels = image.astype(np.float32)
    for _ in range(2):  # down the columns, then along the rows
        resampled = np.zeros((size, *pixels.shape[1:]), np.float32)
        for places, weights in zip(*_taps(len(pixels), size), strict=True):
            resampled += weights[:, None, None] * pixels[places]
        pixels = resampled.swapaxes(0, 1)
    return pixels.round().astype(np.uint8)


def augment(image: Uint8Image, change: Augmentation, spec: LoaderSpec, is_photo: bool) -> Uint8Image:
    """(load_size, load_size, 3) uint8 -> (image_size, image_size, 3) uint8, changed as `spec` asks."""
    if spec.warps:
        matrix = change.warp()
        matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV's pixel i is centred on i, ours on i + 1/2
        size = (change.load_size, change.load_size)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        image = np.asarray(cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)
    image = image[change.y : change.y + spec.image_size, change.x : change.x + spec.image_size]
    if is_photo and spec.colours:
        image = np.asarray(cv2.transform(image, change.colour()), np.uint8)
    return image[:, ::-1] if change.mirror else image


def open_reference(spec: LoaderSpec) -> Iterator[Batch]:
    """The batches of `spec`, endlessly, prepared ahead of their use by `spec.threads` threads."""
    load_size = spec.augment.resolved_load_size(spec.image_size)
    cache: dict[str, Uint8Image] = {}

    def load(name: str) -> Uint8Image:
        if name in cache:
            return cache[name]
        image = resample(read_image(spec.root, name), load_size)
        if spec.cache:
            cache[name] = image
        return image

    def prepare(position: int) -> list[Uint8Image]:
        change = spec.augmentation_at(position)
        names = spec.files_at(position)
        return [augment(load(name), change, spec, is_photo=name == names[0]) for name in names]

    with ThreadPoolExecutor(spec.threads, thread_name_prefix="loader") as pool:
        ahead: deque[tuple[range, list[Future[list[Uint8Image]]]]] = deque()
        for positions in spec.batches():
            ahead.append((positions, [pool.submit(prepare, position) for position in positions]))
            if len(ahead) > _BATCHES_AHEAD:
                positions, futures = ahead.popleft()
                samples = [future.result() for future in futures]
                yield spec.batch(positions, [to_tensor(np.stack(images)) for images in zip(*samples, strict=True)])


def read_pairs(root: Path, records: Sequence[Record], size: int, batch_size: int) -> Iterator[Batch]:
    """Images as they are, once each and in order, for evaluation and sample grids; the last batch may be smaller.

    Resized to (size, size) as translate.py resizes its inputs. Positions count from 0. sketch is None where any record
    of a batch has none.
    """

    def load(name: str) -> Uint8Image:
        return resize(read_image(root, name), size, size)

    for first in range(0, len(records), batch_size):
        chosen = records[first : first + batch_size]
        sketches = [load(record.sketch) for record in chosen if record.sketch is not None]
        yield Batch(
            photo=to_tensor(np.stack([load(record.photo) for record in chosen])),
            sketch=to_tensor(np.stack(sketches)) if len(sketches) == len(chosen) else None,
            style=torch.tensor([record.style for record in chosen]),
            position=torch.arange(first, first + len(chosen)),
        )


def read_photos(root: Path, records: Sequence[Record], size: int) -> Tensor:
    """All photos of `records` as they are and in order: (N, 3, size, size) float32 in [-1, 1]."""
    alone = [replace(record, sketch=None) for record in records]
    return torch.cat([batch.photo for batch in read_pairs(root, alone, size, batch_size=64)])
