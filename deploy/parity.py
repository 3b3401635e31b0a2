"""Parity: the same inputs through bundle and engine, how far apart the images are, and whether that is tolerable."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from limner.core.images import from_uint8
from limner.core.metrics.paired import score_pair
from limner.core.util.errors import LimnerError
from limner.deploy.engine import Engine
from limner.deploy.inputs import Inputs, to_engine_inputs
from limner.deploy.manifest import Precision

Array = npt.NDArray[Any]

RANGE = 2.0
"""Width of [-1, 1], the peak value of PSNR and SSIM."""

MAX_PSNR_DB = 200.0
"""PSNR of equal images: JSON has no infinity."""


@dataclass(frozen=True)
class Tolerance:
    """How far an engine of a precision may be from its bundle; 2 is the width of [-1, 1], -1 the least SSIM."""

    max_abs: float = RANGE
    min_psnr_db: float = 0.0
    min_ssim: float = -1.0


TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(max_abs=1e-3),
    "bf16": Tolerance(min_ssim=0.99),
    "fp16": Tolerance(min_ssim=0.99),
    "int8": Tolerance(min_ssim=0.95, min_psnr_db=28.0),
}
"""int8 is meant for trained weights: a generator whose images are nearly flat fails on SSIM."""

UINT8_STEP = 2.0 / 255.0
"""What rounding to uint8 adds: two values next to a boundary come out one grey level apart."""


@dataclass(frozen=True)
class Difference:
    """How far two batches of images are apart: the largest over all values, the worst over images."""

    max_abs: float
    psnr_db: float
    ssim: float

    def within(self, tolerance: Tolerance) -> bool:
        """Whether all three are tolerable; False also where a value is not finite."""
        return (
            self.max_abs <= tolerance.max_abs
            and self.psnr_db >= tolerance.min_psnr_db
            and self.ssim >= tolerance.min_ssim
        )

    def rounded(self) -> dict[str, float]:
        """The values as a manifest keeps them."""
        return {
            "max_abs": float(f"{self.max_abs:.3g}"),
            "psnr_db": round(self.psnr_db, 2),
            "ssim": round(self.ssim, 6),
        }


def difference(images: Array, reference: Array) -> Difference:
    """Compare (N, C, H, W) float images in [-1, 1]."""
    apart = np.abs(images.astype(np.float64) - reference)
    if not np.isfinite(apart).all():
        return Difference(max_abs=math.nan, psnr_db=math.nan, ssim=math.nan)
    scores = [
        score_pair(a.transpose(1, 2, 0), b.transpose(1, 2, 0), data_range=RANGE)
        for a, b in zip(images, reference, strict=True)
    ]
    psnr_db = min(MAX_PSNR_DB, *(score["psnr_db"] for score in scores))
    return Difference(float(apart.max()), psnr_db, min(score["ssim"] for score in scores))


def check_parity(engine: Engine, bundle: Engine, inputs: Inputs, precision: Precision) -> dict[str, Any]:
    """Compare at the sizes of the profile and one between, and the smallest batch with the same images of the largest.

    engine: of float or uint8 images; bundle: the generator in eager fp32; inputs: in the bundle's order and format, at
        least as many as the engine's largest batch.
    Returns the report for the manifest; raises LimnerError, with the figures, where a difference is beyond tolerance.
    """
    tolerance = TOLERANCES[precision]
    if engine.signature.output.dtype == "uint8":
        tolerance = dataclasses.replace(tolerance, max_abs=tolerance.max_abs + UINT8_STEP)
    engine_inputs = to_engine_inputs(engine.signature, inputs)
    report: dict[str, Any] = {"tolerance": dataclasses.asdict(tolerance), "batches": {}}
    results: dict[int, Array] = {}
    for size in engine.batch.parity_sizes():
        results[size] = _infer(engine, engine_inputs, size)
        apart = difference(results[size], _infer(bundle, engine_inputs, size))
        report["batches"][str(size)] = apart.rounded()
        _require(apart, tolerance, f"engine and bundle at batch {size}", precision)
    smallest, largest = engine.batch.minimum, engine.batch.maximum
    if smallest < largest:
        apart = difference(results[largest][:smallest], results[smallest])
        report["batch_invariance"] = apart.rounded()
        _require(apart, tolerance, f"batches of {smallest} and {largest}", precision)
    return report


def _infer(engine: Engine, inputs: Inputs, size: int) -> Array:
    """(N, C, H, W) float images of the first `size` inputs, also from an engine of uint8 images."""
    batch, *style = (values[:size] for values in inputs.values())
    result = engine.infer(batch, *style)
    return from_uint8(result) if result.dtype == np.uint8 else result


def _require(apart: Difference, tolerance: Tolerance, what: str, precision: str) -> None:
    if not apart.within(tolerance):
        raise LimnerError(
            f"{what} differ: max-abs {apart.max_abs:.2g}, PSNR {apart.psnr_db:.1f} dB, SSIM {apart.ssim:.4f} "
            f"(allowed for {precision}: {tolerance.max_abs:.2g}, {tolerance.min_psnr_db:g} dB, {tolerance.min_ssim:g})"
        )
