"""The two ways in which paint meets a canvas: a hard-edged fill and a soft, translucent stain."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from data_pipeline.portraits.curves import Curve

Canvas = npt.NDArray[np.uint8]
"""(H, H, 3) RGB or (H, H) grey, painted in place."""

Paint = tuple[int, int, int] | int

_FRACTION_BITS = 4
_SIGMAS = 2.5
"""How far a blurred edge reaches, in standard deviations."""


def _pixels(curve: Curve, side: int, origin: tuple[int, int] = (0, 0)) -> npt.NDArray[np.int32]:
    """Image coordinates to OpenCV's fixed point, in which a whole number is a pixel's middle."""
    scaled = (curve * side - 0.5 - origin) * (1 << _FRACTION_BITS)
    return np.round(scaled).astype(np.int32)


def fill(canvas: Canvas, curve: Curve, paint: Paint) -> None:
    """Fill a closed curve, antialiased."""
    colour = paint if isinstance(paint, tuple) else (paint,)
    cv2.fillPoly(canvas, [_pixels(curve, len(canvas))], colour, cv2.LINE_AA, _FRACTION_BITS)


def clipped(canvas: Canvas, curve: Curve, draw: Callable[[Canvas], None]) -> None:
    """Let `draw` paint on the canvas, but only inside a closed curve."""
    inside = canvas.copy()
    draw(inside)
    mask = np.zeros(canvas.shape[:2], dtype=np.uint8)
    fill(mask, curve, 255)
    share = mask.astype(np.float32) / 255.0
    if canvas.ndim == 3:
        share = share[:, :, None]
    canvas[...] = np.round(canvas + (inside.astype(np.float32) - canvas) * share).astype(np.uint8)


def stain(canvas: Canvas, curves: Curve | Sequence[Curve], paint: Paint, opacity: float, blur: float = 0.0) -> None:
    """Blend closed curves, as one area, in with `opacity` 0 to 1; `blur` softens its edge.

    blur: a standard deviation, of the side.
    """
    if isinstance(curves, np.ndarray):
        curves = (curves,)
    side = len(canvas)
    margin = _SIGMAS * blur * side + 2.0
    points = np.concatenate(curves)
    low = np.clip(np.floor(points.min(axis=0) * side - margin), 0, side).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) * side + margin), 0, side).astype(int)
    if np.any(high <= low):
        return
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), dtype=np.uint8)
    for curve in curves:
        cv2.fillPoly(mask, [_pixels(curve, side, (low[0], low[1]))], (255,), cv2.LINE_AA, _FRACTION_BITS)
    if blur > 0.0:
        mask = cv2.GaussianBlur(mask, (0, 0), blur * side, borderType=cv2.BORDER_REPLICATE)
    region = canvas[low[1] : high[1], low[0] : high[0]]
    share = mask.astype(np.float32) * (opacity / 255.0)
    if canvas.ndim == 3:
        share = share[:, :, None]
    blended = region + (np.asarray(paint, dtype=np.float32) - region) * share
    region[...] = np.round(blended).astype(np.uint8)
