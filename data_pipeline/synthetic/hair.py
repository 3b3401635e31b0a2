"""The curves of hair, beard and clothes; units as in geometry.py."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limner.data_pipeline.synthetic.curves import Curve, Points, Pose, disc, resample, smooth
from limner.data_pipeline.synthetic.geometry import MOUTH_LINE, jaw_line, mirror

GOLDEN = 0.618034
"""Multiples of the golden ratio, modulo 1, are evenly spread for any count: variety without random numbers."""

HAIRLINES: dict[str, Points] = {
    "short": [
        (-0.93, 0.14),
        (-0.9, -0.14),
        (-0.78, -0.34),
        (-0.6, -0.58),
        (-0.2, -0.64),
        (0.2, -0.64),
        (0.6, -0.58),
        (0.78, -0.34),
        (0.9, -0.14),
        (0.93, 0.14),
    ],
    "fringe": [
        (-0.95, 0.16),
        (-0.9, -0.1),
        (-0.76, -0.22),
        (-0.45, -0.26),
        (0.0, -0.24),
        (0.45, -0.26),
        (0.76, -0.22),
        (0.9, -0.1),
        (0.95, 0.16),
    ],
    "bun": [
        (-0.96, 0.06),
        (-0.92, -0.16),
        (-0.8, -0.42),
        (-0.5, -0.66),
        (0.0, -0.74),
        (0.5, -0.66),
        (0.8, -0.42),
        (0.92, -0.16),
        (0.96, 0.06),
    ],
    "curly": [
        (-0.97, 0.1),
        (-0.9, -0.12),
        (-0.8, -0.36),
        (-0.55, -0.52),
        (-0.2, -0.56),
        (0.2, -0.56),
        (0.55, -0.52),
        (0.8, -0.36),
        (0.9, -0.12),
        (0.97, 0.1),
    ],
}
"""Edge between hair and face, left ear to right ear; `_parted_line` computes that of parted hair."""

STRAND_POINTS = 20

NO_STRANDS: Curve = np.empty((0, 2, 2))


@dataclass(frozen=True)
class Hair:
    """Closed masses of hair and the strands on them; `back` lies behind neck and head, `front` in front of them."""

    back: tuple[Curve, ...]
    back_strands: Curve
    front: tuple[Curve, ...]
    strands: Curve
    sheen: Curve | None


@dataclass(frozen=True)
class Beard:
    """Closed masses of beard and the hairs on them."""

    masses: tuple[Curve, ...]
    strands: Curve


@dataclass(frozen=True)
class Clothes:
    """The torso, its dark side and the parts of the collar (closed), seams, folds and hatching (open)."""

    torso: Curve
    shade: Curve
    collar: tuple[Curve, ...]
    seams: Curve
    folds: Curve
    """On the lit side."""
    hatching: Curve
    """On the dark side."""


def _lerp(first: Curve, second: Curve, weight: npt.NDArray[np.floating] | float) -> Curve:
    return first + (second - first) * weight


def _parted_line(parting: float) -> Points:
    """Return a hairline that is high at the parting and falls to both temples."""
    peak = 2.0 * parting - 1.0
    left, right = -0.9 - peak, 0.9 - peak
    return [
        (-0.95, 0.16),
        (-0.93, -0.12),
        (peak + 0.82 * left, -0.32),
        (peak + 0.5 * left, -0.55),
        (peak, -0.76),
        (peak + 0.5 * right, -0.55),
        (peak + 0.82 * right, -0.32),
        (0.93, -0.12),
        (0.95, 0.16),
    ]


def _crown_line(volume: float, bumps: int) -> Curve:
    """Return the outer contour of the hair, from ear to ear over the top of the head, with `bumps` protruding locks."""
    angle = np.linspace(-0.08, math.pi + 0.08, 72)
    locks = 1.0 + (0.05 * np.abs(np.sin(0.5 * bumps * angle)) if bumps else 0.0)
    power = 0.86  # fuller than an ellipse, as the head is
    u = -np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power * (1.03 + 0.45 * volume)
    v = -np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * (1.0 + volume)
    return np.stack((u * locks, v * locks), axis=1)


def trace_hair(pose: Pose) -> Hair:
    """Compute the curves of the hair, in image coordinates; none for a bald head."""
    portrait = pose.portrait
    style = portrait.hair
    if style == "bald":
        return Hair((), NO_STRANDS, (), NO_STRANDS, None)
    volume = {"bun": 0.06, "curly": 0.16 + 0.8 * portrait.hair_volume}.get(style, portrait.hair_volume)
    line = HAIRLINES.get(style) or _parted_line(portrait.parting)
    edge = resample(smooth(pose.face(line)), 72)
    crown = pose.flat(_crown_line(volume, 17 if style == "curly" else 0))
    cap = np.concatenate((crown, edge[::-1]))
    front: list[Curve] = [cap]
    back: list[Curve] = []
    back_strands = NO_STRANDS
    if style == "curly":
        strands = _curls(pose, crown, edge)
        radius = 0.5 * float(np.hypot(*(crown[0] - edge[0])))  # of the lock that rounds off the corner above each ear
        front += list(disc(_lerp(crown[[0, -1]], edge[[0, -1]], 0.4)[:, None], 1.1 * radius, 1.2 * radius))
    else:
        strands = _combed(crown, edge, portrait.parting if style in ("parted", "long") else 0.5)
    if style == "long":
        sides = [_lock(pose, side) for side in (-1.0, 1.0)]
        front += [np.concatenate((outer, inner[::-1])) for outer, inner in sides]
        hanging = [_lerp(inner, outer, s) for outer, inner in sides for s in (0.12, 0.3, 0.48, 0.66, 0.84)]
        strands = np.concatenate((strands, hanging))
        back.append(
            pose.body(
                smooth([(-0.9, -0.2), (0.9, -0.2), (1.0, portrait.hair_length), (-1.0, portrait.hair_length)], True)
            )
        )
    if style == "bun":
        knot = pose.flat([(0.12 * np.sign(portrait.light), -1.14)])
        radius = portrait.head_width * (0.3 + portrait.hair_volume)
        back.append(disc(knot, 1.1 * radius, radius, 32))
        back_strands = np.stack([disc(knot, 1.1 * radius * s, radius * s, 32)[4:26] for s in (0.35, 0.6, 0.82)])
    sheen = resample(_lerp(edge, crown, 0.55), 72)[14:58]
    return Hair(tuple(back), back_strands, tuple(front), strands, sheen)


def _combed(crown: Curve, edge: Curve, parting: float, per_side: int = 15) -> Curve:
    """Compute strands from the parting to the hairline, nested like the ribs of a fan: none crosses another."""
    last = len(crown) - 1
    root = parting * last
    k = np.arange(per_side)
    spread = (k + 0.2 + 0.6 * (k * GOLDEN % 1.0)) / per_side
    # Length of a strand as a fraction of the way to the ear; those that would reach beyond it end at the hair's side.
    reach = (spread**0.7 / (1.0 - spread))[:, None]
    progress = np.linspace(0.0, 1.0, STRAND_POINTS) * np.minimum(1.0, 1.0 / reach)
    positions = np.concatenate([root + (end - root) * reach * progress for end in (0.0, last)])  # (strands, points)
    # High over the parting, then down to the hairline; a strand that ends farther out stays above the others.
    level = np.tile(0.05 + 0.87 * (1.0 - progress**2), (2, 1))[..., None]
    return _lerp(_at(edge, positions), _at(crown, positions), level)


def _at(curve: Curve, positions: npt.NDArray[np.float64]) -> Curve:
    """Interpolate a curve at fractional indices."""
    index = np.arange(len(curve))
    return np.stack([np.interp(positions, index, curve[:, axis]) for axis in (0, 1)], axis=-1)


def _curls(pose: Pose, crown: Curve, edge: Curve) -> Curve:
    """Compute curls: three quarters of a ring each, in rows between hairline and crown."""
    radius = 0.085 * pose.portrait.head_width
    rows = []
    for row, level in enumerate((0.14, 0.36, 0.58, 0.8)):
        centres = resample(_lerp(edge, crown, level), 15 + 3 * row)[1:-1]
        rings = disc(centres[:, None], radius * 1.15, radius, 16)
        start = (np.arange(len(rings)) + row) % 4
        rows.append(rings[np.arange(len(rings))[:, None], start[:, None] + np.arange(12)])
    return np.concatenate(rows)


def _lock(pose: Pose, side: float) -> tuple[Curve, Curve]:
    """Return the outer and inner contour of the hair next to the face, from top to bottom."""
    volume, length = pose.portrait.hair_volume, pose.portrait.hair_length
    wide = 1.03 + 0.45 * volume
    outer = np.concatenate(
        (
            pose.flat([(side * wide * 0.93, -0.5), (side * wide, -0.05), (side * (wide + 0.06), 0.45)]),
            pose.body([(side * (wide + 0.1), 0.75 * length), (side * (wide - 0.08), length)]),
        )
    )
    inner = np.concatenate(
        (
            pose.face([(side * 0.78, -0.42), (side * 0.9, -0.1)]),
            pose.flat([(side * 0.93, 0.4)]),
            pose.body([(side * 0.78, 0.75 * length), (side * 0.82, length)]),
        )
    )
    return resample(smooth(outer), STRAND_POINTS), resample(smooth(inner), STRAND_POINTS)


def trace_beard(pose: Pose) -> Beard:
    """Compute the curves of the beard, in image coordinates."""
    kind = pose.portrait.beard
    masses: list[Curve] = []
    strands = NO_STRANDS
    if kind in ("full", "stubble"):
        outline = jaw_line(pose.portrait)[1:]
        rim = [(1.0, 0.12), *[(u * 1.02, v * 1.04) for u, v in outline]]
        edge: Points = [(0.9, 0.16), (0.74, 0.46), (0.46, 0.52), (0.3, 0.5), (0.14, 0.47), (0.0, 0.5)]
        outer = resample(smooth(pose.flat([*rim, *mirror(rim)[1:]])), 48)
        inner = resample(smooth(pose.face([*edge, *mirror(edge)[1:]], 0.03)), 48)
        masses.append(np.concatenate((outer, inner[::-1])))
        start = 0.15 + 0.25 * (np.arange(48) * GOLDEN % 1.0)[:, None]
        strands = np.stack((_lerp(inner, outer, start), _lerp(inner, outer, 0.97)), axis=1)[1:-1]
    if kind in ("moustache", "goatee"):
        half: Points = [(0.0, 0.5), (0.2, 0.48), (0.36, 0.56), (0.42, 0.66), (0.3, 0.62), (0.12, 0.59)]
        masses.append(smooth(pose.face([*half, *mirror(half)[:-1]], 0.1), closed=True))
        places = np.linspace(-0.4, 0.4, 9)
        strands = pose.face(np.array([[(0.3 * u, 0.5), (0.9 * u, 0.62)] for u in places]), 0.1)
    if kind == "goatee":
        masses.append(
            smooth(pose.face([(-0.26, 0.8), (0.0, 0.76), (0.26, 0.8), (0.24, 0.98), (0.0, 1.05), (-0.24, 0.98)]), True)
        )
        places = np.linspace(-0.22, 0.22, 7)
        chin = pose.face(np.array([[(u, MOUTH_LINE + 0.16), (0.8 * u, 1.03)] for u in places]))
        strands = np.concatenate((strands, chin))
    return Beard(tuple(masses), smooth(strands))


NECKLINES: dict[str, Points] = {
    "crew": [(0.8, 1.3), (0.62, 1.42), (0.3, 1.53), (0.0, 1.56)],
    "vee": [(0.8, 1.3), (0.55, 1.5), (0.25, 1.76), (0.0, 1.94)],
    "turtle": [(0.62, 1.04), (0.45, 1.12), (0.2, 1.17), (0.0, 1.18)],
    "shirt": [(0.62, 1.18), (0.42, 1.4), (0.2, 1.6), (0.0, 1.74)],
}
"""Right half of the garment's upper edge, from the shoulder to the middle."""

FOLDS: Points = [(0.75, 1.75), (1.15, 1.7), (1.5, 1.85)]
"""Start points of the folds on the lit side."""


def trace_clothes(pose: Pose) -> Clothes:
    """Compute the curves of the clothes, in image coordinates."""
    kind = pose.portrait.collar
    half = NECKLINES[kind]
    neckline = smooth([*half, *mirror(half)[1:]])
    shoulder = smooth([half[0], (1.15, 1.4), (1.75, 1.62), (2.1, 2.0), (2.25, 3.0)])
    torso = np.concatenate((shoulder[::-1], neckline, shoulder * (-1.0, 1.0)))
    collar: list[Curve] = []
    seams = NO_STRANDS
    if kind in ("crew", "vee"):
        collar.append(np.concatenate((neckline, (neckline + np.array((0.0, 0.11)))[::-1])))
    elif kind == "turtle":
        hem = smooth([(-0.72, 1.32), (-0.4, 1.46), (0.0, 1.5), (0.4, 1.46), (0.72, 1.32)])
        collar.append(np.concatenate((neckline, hem)))
        seams = np.stack((resample(neckline, 15), resample(hem[::-1], 15)), axis=1)[1:-1]
    else:
        flap: Points = [(0.6, 1.1), (0.05, 1.7), (0.32, 2.0), (0.62, 1.66), (0.88, 1.4)]
        collar += [np.array(flap), np.array(flap) * (-1.0, 1.0)]
        seams = np.array([[(0.0, 1.74), (0.03, 2.8)]])
    side = np.array((-1.0 if pose.portrait.light > 0 else 1.0, 1.0))  # mirrors the dark side if it is the left
    folds = np.array([[(-x, y), (-x - 0.1, y + 0.3), (-x - 0.04, y + 0.75)] for x, y in FOLDS])
    hatching = np.array([[(x, 1.32), (x - 0.22, 2.1), (x - 0.48, 2.9)] for x in np.arange(1.1, 2.7, 0.14)])
    shade = np.array([(0.95, 1.2), (2.4, 1.2), (2.4, 3.0), (0.75, 3.0)])
    to_image = pose.body
    return Clothes(
        torso=to_image(torso),
        shade=to_image(shade * side),
        collar=tuple(to_image(part) for part in collar),
        seams=smooth(to_image(seams)),
        folds=smooth(to_image(folds * side)),
        hatching=smooth(to_image(hatching * side)),
    )
