"""The two ways in which paint meets a canvas: a hard-edged fill and a soft, translucent stain."""

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


def stain(canvas: Canvas, curve: Curve, paint: Paint, opacity: float, blur: float = 0.0) -> None:
    """Blend a closed curve in with `opacity` 0 to 1, its edge softened by `blur` (a standard deviation, of the side)."""
    side = len(canvas)
    margin = _SIGMAS * blur * side + 2.0
    low = np.clip(np.floor(curve.min(axis=0) * side - margin), 0, side).astype(int)
    high = np.clip(np.ceil(curve.max(axis=0) * side + margin), 0, side).astype(int)
    if np.any(high <= low):
        return
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), dtype=np.uint8)
    cv2.fillPoly(mask, [_pixels(curve, side, (low[0], low[1]))], (255,), cv2.LINE_AA, _FRACTION_BITS)
    if blur > 0.0:
        mask = cv2.GaussianBlur(mask, (0, 0), blur * side, borderType=cv2.BORDER_REPLICATE)
    region = canvas[low[1] : high[1], low[0] : high[0]]
    share = mask.astype(np.float32) * (opacity / 255.0)
    if canvas.ndim == 3:
        share = share[:, :, None]
    blended = region + (np.asarray(paint, dtype=np.float32) - region) * share
    region[...] = np.round(blended).astype(np.uint8)
