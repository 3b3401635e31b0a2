"""Fill closed curves on a canvas, opaque and antialiased, or blend them in, soft and translucent."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from limner.data_pipeline.synthetic.curves import Curve

Canvas = npt.NDArray[np.uint8]
"""(H, H, 3) RGB or (H, H) grey, painted in place."""

Paint = tuple[int, int, int] | int

MIN_CANVAS_SIDE = 256
"""Smaller images are painted at a multiple of their size and averaged down."""

_FRACTION_BITS = 4
_SIGMAS = 2.5
"""Reach of a blurred edge, in standard deviations."""
_MIN_SIGMA = 1.5
"""Smallest standard deviation of a blur, in pixels of its mask, to which the mask's resolution may be reduced."""


def _channels(paint: Paint) -> tuple[int, ...]:
    return paint if isinstance(paint, tuple) else (paint,)


def _fill_curves(
    canvas: Canvas, curves: Curve, side: float, colour: tuple[int, ...], origin: Curve | float = 0.0
) -> None:
    """Fill closed curves one after another; in OpenCV's fixed point pixel centres are integers."""
    scaled = (curves * side - 0.5 - origin) * (1 << _FRACTION_BITS)
    for pixels in np.round(scaled).astype(np.int32, order="C").reshape(-1, *curves.shape[-2:]):
        cv2.fillPoly(canvas, [pixels], colour, cv2.LINE_AA, _FRACTION_BITS)


def fill(canvas: Canvas, curves: Curve, paint: Paint) -> None:
    """Fill closed curves, antialiased."""
    _fill_curves(canvas, curves, len(canvas), _channels(paint))


def blend(
    canvas: Canvas,
    curves: Curve | Sequence[Curve],
    paint: Paint,
    opacity: float,
    blur: float = 0.0,
    within: Curve | None = None,
) -> None:
    """Blend closed curves in as one area, with `opacity` 0 to 1, clipped to the closed curve `within`.

    blur: standard deviation, of the side, by which the area's edge is blurred; the edge of `within` stays sharp.
    """
    groups = (curves,) if isinstance(curves, np.ndarray) else curves
    points = np.concatenate([group.reshape(-1, 2) for group in groups])
    if len(points) == 0:
        return
    side = len(canvas)
    margin = _SIGMAS * blur * side + 2.0
    low = np.maximum(points.min(axis=0) * side - margin, 0.0).astype(int)
    high = np.minimum(points.max(axis=0) * side + margin + 1.0, side).astype(int)
    if (high <= low).any():
        return
    region = canvas[low[1] : high[1], low[0] : high[0]]
    reduction = max(1, int(blur * side / _MIN_SIGMA))  # a strongly blurred mask is computed at a lower resolution
    width, height = -(-(high - low) // reduction)
    mask = np.zeros((height, width), dtype=np.uint8)
    for group in groups:
        _fill_curves(mask, group, side / reduction, (255,), low / reduction)
    if blur > 0.0:
        cv2.GaussianBlur(mask, (0, 0), blur * side / reduction, dst=mask, borderType=cv2.BORDER_REPLICATE)
    if reduction > 1:
        enlarged = cv2.resize(mask, (width * reduction, height * reduction), interpolation=cv2.INTER_LINEAR)
        mask = enlarged[: region.shape[0], : region.shape[1]].astype(np.uint8, copy=False)
    if within is not None:
        inside = np.zeros_like(mask)
        _fill_curves(inside, within, side, (255,), low)
        cv2.multiply(mask, inside, dst=mask, scale=1.0 / 255.0)
    alpha = mask.astype(np.float32)
    alpha *= opacity / 255.0
    solid = cv2.merge([np.full(mask.shape, channel, dtype=np.uint8) for channel in _channels(paint)])
    cv2.blendLinear(region, solid, 1.0 - alpha, alpha, dst=region)
