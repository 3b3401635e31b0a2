"""Curves, and the pose that maps them from the head to the image."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limner.data_pipeline.synthetic.attributes import Portrait

Curve = npt.NDArray[np.float64]
"""(..., n, 2): one curve of n points, or a batch; in the image, fractions of its side from the left and the top."""

Points = list[tuple[float, float]]

_CATMULL_ROM = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]], dtype=np.float64)
"""Rows: coefficients of 1, t, t^2, t^3 of the four neighbours (Catmull and Rom 1974)."""
_STEPS = 6
_WEIGHTS = (np.arange(_STEPS) / _STEPS)[:, None] ** np.arange(4) @ _CATMULL_ROM
"""(steps, 4): weights of the four neighbours at each step."""


def smooth(points: Points | Curve, closed: bool = False) -> Curve:
    """Interpolate points by smooth curves, with six segments between neighbours."""
    knots = np.asarray(points, dtype=np.float64)
    first, last = knots[..., :1, :], knots[..., -1:, :]
    if closed:
        padded = np.concatenate((last, knots, knots[..., :2, :]), axis=-2)
    else:
        padded = np.concatenate((2 * first - knots[..., 1:2, :], knots, 2 * last - knots[..., -2:-1, :]), axis=-2)
    segments = padded.shape[-2] - 3
    windows = np.stack([padded[..., k : segments + k, :] for k in range(4)], axis=-2)  # (..., segments, 4, 2)
    curve: Curve = (_WEIGHTS @ windows).reshape(*knots.shape[:-2], segments * _STEPS, 2)
    return curve if closed else np.concatenate((curve, last), axis=-2)


def resample(curve: Curve, count: int) -> Curve:
    """Resample one open curve, (n, 2), to `count` points at equal distances along it."""
    distance = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))))
    positions = np.linspace(0.0, distance[-1], count)
    return np.stack([np.interp(positions, distance, curve[:, axis]) for axis in (0, 1)], axis=1)


def ribbon(curve: Curve, width: float, taper: float = 0.75) -> Curve:
    """Outline strokes as closed curves: `width` wide in the middle, thinner by `taper` (0 to 1) at their ends."""
    along = np.empty_like(curve)
    along[..., 1:-1, :] = curve[..., 2:, :] - curve[..., :-2, :]
    along[..., 0, :], along[..., -1, :] = curve[..., 1, :] - curve[..., 0, :], curve[..., -1, :] - curve[..., -2, :]
    along /= np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-9)[..., None]
    middle = np.sin(np.linspace(0.0, math.pi, curve.shape[-2])) ** 0.7
    half = 0.5 * width * (1.0 - taper + taper * middle)[:, None]
    across = along[..., ::-1] * (-1.0, 1.0) * half
    return np.concatenate((curve + across, (curve - across)[..., ::-1, :]), axis=-2)


def closed(curve: Curve) -> Curve:
    """Open a closed curve so that it ends where it began, for a ribbon around it."""
    return np.concatenate((curve, curve[..., :2, :]), axis=-2)


def disc(centre: Curve, radius_x: float, radius_y: float, count: int = 24) -> Curve:
    """Return a closed ellipse of `count` points around each centre, (..., 1, 2) -> (..., count, 2)."""
    angle = np.arange(count) * (2.0 * math.pi / count)
    ellipse: Curve = centre + np.stack((np.cos(angle) * radius_x, np.sin(angle) * radius_y), axis=1)
    return ellipse


@dataclass(frozen=True)
class Pose:
    """Maps points of the head and of the body to the image."""

    portrait: Portrait

    def flat(self, points: Points | Curve) -> Curve:
        """Map points of the silhouette (head units), which is tilted but looks the same under every turn."""
        portrait = self.portrait
        places = np.asarray(points) * (portrait.head_width, portrait.head_height)
        x, y = places[..., 0], places[..., 1]
        cos, sin = math.cos(portrait.tilt), math.sin(portrait.tilt)
        return np.stack((portrait.centre[0] + x * cos - y * sin, portrait.centre[1] + x * sin + y * cos), axis=-1)

    def face(self, points: Points | Curve, lift: float = 0.0) -> Curve:
        """Map points of the face (head units): on an ellipsoid, raised by `lift`, that turns and nods with the head."""
        portrait = self.portrait
        places = np.asarray(points)
        u, v = places[..., 0], places[..., 1]
        depth = np.sqrt(np.clip(1.0 - u**2 - 0.6 * v**2, 0.0, 1.0)) + lift
        turned_u = u * math.cos(portrait.turn) + depth * math.sin(portrait.turn)
        turned_v = v * math.cos(portrait.nod) + depth * math.sin(portrait.nod)
        return self.flat(np.stack((turned_u, turned_v), axis=-1))

    def body(self, points: Points | Curve) -> Curve:
        """Map points of neck and torso (head units), which stay upright under the centre of the head."""
        portrait = self.portrait
        scale = np.array((portrait.head_width, portrait.head_height))
        placed: Curve = np.asarray(points, dtype=np.float64) * scale + portrait.centre
        return placed
