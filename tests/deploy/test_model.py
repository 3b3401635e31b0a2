"""Batches of the sizes that an engine takes, whatever is asked for."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from limner.core.signature import Port, Signature
from limner.core.util.errors import UserError
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.engine import Engine
from limner.deploy.manifest import Source
from limner.deploy.model import Model


class Recorder:
    """A runtime that remembers the sizes of its batches; output: input times 10 plus style."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
        self.sizes.append(len(inputs["photo"]))
        return np.asarray(inputs["photo"] * 10 + inputs["style"][:, None, None, None], np.uint8)

    def close(self) -> None:
        self.sizes.append(0)


def make_model(profile: BatchProfile) -> tuple[Model, list[int]]:
    image, runtime = Port("photo", (1, 1, 3), "uint8"), Recorder()
    signature = Signature((image, Port("style", (), "int64")), image, 5)
    source = Source("", "pix2pix", 1, "stretch", tuple("abcde"))
    return Model(Engine("recorder", signature, profile, runtime, source)), runtime.sizes


@pytest.mark.parametrize(
    ("profile", "batch_size", "count", "sizes"),
    [
        ((1, 4, 8), 3, 7, [3, 3, 1]),
        ((1, 4, 8), 100, 20, [8, 8, 4]),
        ((4, 4, 4), 1, 5, [4, 4]),
        ((8, 8, 8), 8, 1, [8]),
        ((2, 4, 8), 3, 4, [3, 2]),
        ((1, 1, 8), 2, 0, []),
    ],
)
def test_batches_are_split_and_padded_to_the_profile(
    profile: tuple[int, int, int], batch_size: int, count: int, sizes: list[int]
) -> None:
    model, seen = make_model(BatchProfile(*profile))
    inputs = np.arange(count, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 1, 3), np.uint8)
    styles = np.arange(count) % 5
    images = list(model.infer(inputs, batch_size, styles))
    assert [int(image[0, 0, 0]) for image in images] == [10 * i + i % 5 for i in range(count)]
    assert seen == sizes


def test_a_batch_is_held_at_a_time() -> None:
    model, seen = make_model(BatchProfile(1, 2, 4))
    taken = 0

    def photos() -> Iterator[npt.NDArray[np.uint8]]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield np.zeros((1, 1, 3), np.uint8)

    images = model.infer(photos(), 4, [0] * 100)
    next(images)
    assert taken == 4
    assert seen == [4]


def test_leaving_closes_the_engine_once() -> None:
    model, seen = make_model(BatchProfile(1, 1, 1))
    with model:
        assert seen == []
    model.close()
    assert seen == [0]
    with pytest.raises(UserError, match="recorder: is closed, load it again"):
        next(model.infer(iter([np.zeros((1, 1, 3), np.uint8)]), 1, [0]))
