from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from skimage.metrics import structural_similarity

from limner.core.images import from_uint8
from limner.core.signature import Port, Signature
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.engine import ANY_BATCH, Engine
from limner.deploy.inputs import random_inputs
from limner.deploy.manifest import Precision
from limner.deploy.parity import check_parity, difference

Array = npt.NDArray[Any]

SIGNATURE = Signature((Port("photo", (3, 16, 16), "float32"),), Port("image", (3, 16, 16), "float32"))


class Echo:
    """Gives back its input, changed by noise of a seed and, with `drift`, by its place in the batch."""

    def __init__(self, noise: float = 0.0, drift: float = 0.0) -> None:
        self.noise, self.drift = noise, drift

    def run(self, inputs: Mapping[str, Array]) -> Array:
        photo = inputs["photo"]
        if photo.dtype == np.uint8:
            return photo
        noise = np.random.default_rng(0).uniform(-self.noise, self.noise, photo.shape)
        return (photo + noise + self.drift * (len(photo) - 1)).astype(np.float32)

    def close(self) -> None:
        pass


def check(echo: Echo, precision: Precision, signature: Signature = SIGNATURE) -> dict[str, Any]:
    engine = Engine("engine", signature, BatchProfile(1, 2, 4), echo)
    bundle = Engine("bundle", SIGNATURE, ANY_BATCH, Echo())
    inputs = {name: value.numpy() for name, value in random_inputs(SIGNATURE, 4, seed=0).items()}
    return check_parity(engine, bundle, inputs, precision)


def test_equal_engines_pass_and_report_every_batch() -> None:
    report = check(Echo(), "fp32")
    assert report["tolerance"]["max_abs"] == 1e-3
    assert set(report["batches"]) == {"1", "2", "3", "4"}
    assert report["batches"]["4"] == {"max_abs": 0.0, "psnr_db": 200.0, "ssim": 1.0}
    assert report["batch_invariance"]["max_abs"] == 0.0


@pytest.mark.parametrize(
    ("precision", "good", "bad"), [("fp32", 5e-4, 5e-3), ("fp16", 5e-3, 0.5), ("bf16", 5e-3, 0.5), ("int8", 0.02, 0.5)]
)
def test_tolerance_of_each_precision(precision: Precision, good: float, bad: float) -> None:
    check(Echo(noise=good), precision)
    with pytest.raises(
        LimnerError, match=rf"engine and bundle at batch 1 differ: max-abs .*allowed for {precision}"
    ) as error:
        check(Echo(noise=bad), precision)
    assert not isinstance(error.value, UserError)  # exit code 1


def test_an_engine_whose_images_depend_on_the_batch_fails() -> None:
    with pytest.raises(LimnerError, match=r"at batch [34] differ|batches of 1 and 4 differ"):
        check(Echo(drift=5e-4), "fp32")


def test_images_that_are_not_finite_fail_at_any_precision() -> None:
    with pytest.raises(LimnerError, match="max-abs nan"):
        check(Echo(noise=0.0, drift=np.nan), "int8")


def test_uint8_images_may_be_one_grey_level_apart() -> None:
    report = check(Echo(), "fp32", SIGNATURE.as_uint8())
    assert report["tolerance"]["max_abs"] == pytest.approx(1e-3 + 2 / 255)


def test_difference_is_that_of_the_definitions() -> None:
    reference = from_uint8(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8))
    images = reference.copy()
    images[1] += 0.1
    apart = difference(images, reference)
    assert apart.max_abs == pytest.approx(0.1, abs=1e-6)
    assert apart.psnr_db == pytest.approx(10 * np.log10(4 / 0.01), abs=1e-3)
    expected = structural_similarity(images[1], reference[1], channel_axis=0, data_range=2.0)  # the other is equal
    assert apart.ssim == pytest.approx(expected, abs=1e-9)
    assert apart.ssim < 1.0
