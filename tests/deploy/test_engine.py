from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from onnx import ModelProto
from torch import nn

from limner.core.batch import to_images
from limner.core.signature import Signature
from limner.core.util.errors import UserError
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.engine import Engine, open_bundle, open_engine
from limner.deploy.runtimes.pytorch import TorchRuntime

Array = npt.NDArray[Any]
GetCase = Callable[[str], tuple[nn.Module, Signature, ModelProto]]


def photos(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (count, 3, 64, 64)).astype(np.float32)


def test_engine_and_bundle_agree_on_floats_and_on_uint8(engine_directory: Path, bundle: Path) -> None:
    batch = photos(3)
    images = to_images(torch.from_numpy(batch))
    with open_engine(engine_directory) as engine, open_bundle(bundle) as eager:
        generated = engine.infer(batch)
        np.testing.assert_allclose(generated, eager.infer(batch), atol=1e-4)
        assert generated.dtype == np.float32
        uint8_images = engine.infer(images)
        assert uint8_images.shape == (3, 64, 64, 3)
        assert np.abs(uint8_images.astype(int) - eager.infer(images)).max() <= 1


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (photos(5), "got a batch of 5, takes 1 to 4: split it, or build the engine with another --batch"),
        (photos(0), "got a batch of 0, takes 1 to 4"),
        (photos(1)[:, :, :32], r"got photo \(1, 3, 32, 64\) float32, takes \(N, 3, 64, 64\) float32 in \[-1, 1\] or "),
        (
            photos(1).astype(np.float64),
            r"float64, takes \(N, 3, 64, 64\) float32 in \[-1, 1\] or \(N, 64, 64, 3\) uint8",
        ),
        (np.zeros((64, 64, 3), np.uint8), r"got photo \(64, 64, 3\) uint8"),
    ],
)
def test_other_batches_are_refused(engine_directory: Path, batch: Array, message: str) -> None:
    with open_engine(engine_directory) as engine, pytest.raises(UserError, match=message):
        engine.infer(batch)


def test_a_style_is_refused_where_there_is_none(engine_directory: Path) -> None:
    with open_engine(engine_directory) as engine, pytest.raises(UserError, match="not trained with styles"):
        engine.infer(photos(1), style=np.array([0]))


@pytest.mark.parametrize("style", [None, np.array([0]), np.array([0, 3]), np.array([-1, 0])])
def test_styles_are_checked(case: GetCase, style: Array | None) -> None:
    generator, signature, _ = case("styled")
    with Engine("styled", signature, BatchProfile(), TorchRuntime(generator)) as engine:
        with pytest.raises(UserError, match="takes one number of 0 to 2 for each of 2"):
            engine.infer(photos(2), style=style)
        generated = engine.infer(photos(2), style=np.array([0, 2], np.int32))
        assert not np.allclose(generated, engine.infer(photos(2), style=np.array([1, 1])), atol=1e-3)


def test_latents_and_styles(case: GetCase) -> None:
    generator, signature, _ = case("modern")
    with Engine("modern", signature, BatchProfile(), TorchRuntime(generator)) as engine:
        assert engine.infer(np.zeros((2, 16), np.float32), np.array([0, 1])).shape == (2, 3, 64, 64)
        with pytest.raises(UserError, match=r"got latent \(2, 8\) float32, takes \(N, 16\) float32: convert it"):
            engine.infer(np.zeros((2, 8), np.float32), np.array([0, 1]))


@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_threads_that_share_an_engine_get_their_own_images(engine_directory: Path, hint: Any) -> None:
    batches = [photos(1, seed) for seed in range(8)]
    with open_engine(engine_directory, threads=2, hint=hint) as engine:
        expected = [engine.infer(batch) for batch in batches]
        with ThreadPoolExecutor(4) as pool:
            for generated, alone in zip(pool.map(engine.infer, batches), expected, strict=True):
                np.testing.assert_allclose(generated, alone, atol=1e-5)


def test_results_belong_to_the_caller(engine_directory: Path) -> None:
    with open_engine(engine_directory) as engine:
        first = engine.infer(photos(1, 1))
        kept = first.copy()
        engine.infer(photos(1, 2))
        np.testing.assert_array_equal(first, kept)


def test_the_runtime_is_closed() -> None:
    class Runtime:
        closed = False

        def run(self, inputs: Mapping[str, Array]) -> Array:
            raise AssertionError

        def close(self) -> None:
            self.closed = True

    runtime = Runtime()
    with Engine("none", Signature((), None), BatchProfile(), runtime):  # type: ignore[arg-type]
        assert not runtime.closed
    assert runtime.closed


def test_a_compiled_bundle_is_the_same_generator(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captured = partial(torch.compile, backend="eager")  # a real compiler takes a minute
    monkeypatch.setattr(torch, "compile", captured)
    batch = photos(1)
    with open_bundle(bundle) as eager, open_bundle(bundle, compiled=True) as compiled:
        assert compiled.runtime.forward is not eager.runtime.forward  # type: ignore[attr-defined]
        np.testing.assert_allclose(compiled.infer(batch), eager.infer(batch), atol=1e-4)
