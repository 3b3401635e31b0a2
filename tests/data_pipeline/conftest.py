"""Small datasets on disk and sample streams over them, shared by the tests of the loaders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from limner.core.config import AugmentConfig
from limner.core.images import Uint8Image
from limner.data_pipeline.index import Record
from limner.data_pipeline.stream import SampleStream


@pytest.fixture
def make_stream(tmp_path: Path) -> Callable[..., SampleStream]:
    """A stream over images in tmp_path of 18 pixels and crops of 16, with fields changed by name."""

    def make(records: tuple[Record, ...], **changes: Any) -> SampleStream:
        fields: dict[str, Any] = {
            "root": tmp_path,
            "image_size": 16,
            "augment": AugmentConfig(load_size=18),
            "batch_size": 1,
            "seed": 0,
            "rank": 0,
            "world_size": 1,
            "start": 0,
            "device": torch.device("cpu"),
            "threads": 2,
            "cache": False,
            "paired": True,
        }
        return SampleStream(records=records, **(fields | changes))

    return make


def _write(root: Path, count: int, suffix: str, render: Callable[[int], Uint8Image]) -> tuple[Record, ...]:
    """`count` pairs, rendered by number: photos of an even number, sketches of the odd number after it."""
    records = []
    for number in range(count):
        record = Record(str(number), f"photo/{number}{suffix}", f"sketch/{number}{suffix}", style=number % 3)
        for name, image in zip(record.files, (render(2 * number), render(2 * number + 1)), strict=True):
            (root / name).parent.mkdir(exist_ok=True)
            options = [
                cv2.IMWRITE_JPEG_QUALITY,
                95,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
            ]
            cv2.imwrite(str(root / name), image[:, :, ::-1], options if suffix == ".jpg" else [])
        records.append(record)
    return tuple(records)


@pytest.fixture
def tagged(tmp_path: Path) -> tuple[Record, ...]:
    """23 pairs of 18 pixels that say in every pixel which they are: photo 10 * number, sketch 10 * number + 5."""
    return _write(tmp_path, 23, ".png", lambda number: np.full((18, 18, 3), 5 * number, np.uint8))


@pytest.fixture
def textured(tmp_path: Path) -> Callable[[int, int], tuple[Record, ...]]:
    """(count, size) -> pairs of smooth coloured noise as JPEG 4:4:4."""

    def write(count: int, size: int) -> tuple[Record, ...]:
        def render(number: int) -> Uint8Image:
            coarse = np.random.default_rng(number).integers(0, 256, (size // 6, size // 6, 3), np.uint8)
            return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)

        return _write(tmp_path, count, ".jpg", render)

    return write
