"""The two ways in which paint meets a canvas: a hard-edged fill and a soft, translucent stain."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from limner.data_pipeline.synthetic.curves import Curve

Canvas = npt.NDArray[np.uint8]
"""(H, H, 3) RGB or (H, H) grey, painted in place."""

Paint = tuple[int, int, int] | int

_FRACTION_BITS = 4
_SIGMAS = 2.5
"""How far a blurred edge reaches, in standard deviations."""
_LEAST_SIGMA = 1.5
"""Standard deviation, in pixels of its mask, below which a blur is not computed more coarsely."""


def _channels(paint: Paint) -> tuple[int, ...]:
    return paint if isinstance(paint, tuple) else (paint,)


def _cover(canvas: Canvas, curves: Curve, side: float, colour: tuple[int, ...], origin: Curve | float = 0.0) -> None:
    """Fill closed curves one after another; OpenCV's fixed point calls a pixel's middle a whole number."""
    scaled = (curves * side - 0.5 - origin) * (1 << _FRACTION_BITS)
    for pixels in np.round(scaled).astype(np.int32, order="C").reshape(-1, *curves.shape[-2:]):
        cv2.fillPoly(canvas, [pixels], colour, cv2.LINE_AA, _FRACTION_BITS)


def fill(canvas: Canvas, curves: Curve, paint: Paint) -> None:
    """Fill closed curves, antialiased."""
    _cover(canvas, curves, len(canvas), _channels(paint))


def stain(
    canvas: Canvas,
    curves: Curve | Sequence[Curve],
    paint: Paint,
    opacity: float,
    blur: float = 0.0,
    within: Curve | None = None,
) -> None:
    """Blend closed curves, as one area, in with `opacity` 0 to 1, but only inside the closed curve `within`.

    blur: how soft the area's edge is, a standard deviation, of the side; the edge of `within` stays sharp.
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
    grain = max(1, int(blur * side / _LEAST_SIGMA))  # side of the mask's pixels: one that is much blurred may be coarse
    width, height = -(-(high - low) // grain)
    mask = np.zeros((height, width), dtype=np.uint8)
    for group in groups:
        _cover(mask, group, side / grain, (255,), low / grain)
    if blur > 0.0:
        cv2.GaussianBlur(mask, (0, 0), blur * side / grain, dst=mask, borderType=cv2.BORDER_REPLICATE)
    if grain > 1:
        grown = cv2.resize(mask, (width * grain, height * grain), interpolation=cv2.INTER_LINEAR)
        mask = grown[: region.shape[0], : region.shape[1]].astype(np.uint8, copy=False)
    if within is not None:
        inside = np.zeros_like(mask)
        _cover(inside, within, side, (255,), low)
        cv2.multiply(mask, inside, dst=mask, scale=1.0 / 255.0)
    share = mask.astype(np.float32)
    share *= opacity / 255.0
    solid = cv2.merge([np.full(mask.shape, channel, dtype=np.uint8) for channel in _channels(paint)])
    cv2.blendLinear(region, solid, 1.0 - share, share, dst=region)
