"""The curves of a portrait's face, from which both the photo and the sketch are rendered.

Features that occur twice are a batch of two curves, the left first.

Head units: u from -1 (the image's left side of the head) to 1, v from -1 (crown) to 1 (chin).
"""

from dataclasses import dataclass

import numpy as np

from limner.data_pipeline.synthetic.attributes import Portrait
from limner.data_pipeline.synthetic.curves import Curve, Points, Pose, disc, smooth

EYE_LINE = 0.03
MOUTH_LINE = 0.64
EAR_TOP, EAR_BOTTOM = -0.1, 0.42


@dataclass(frozen=True)
class Eyes:
    """Both eyes with their brows; curves run from the inner corner to the outer."""

    ball: Curve
    upper_lid: Curve
    lower_lid: Curve
    crease: Curve
    socket: Curve
    iris: Curve
    pupil: Curve
    glint: Curve
    brow: Curve


@dataclass(frozen=True)
class Nose:
    """The nose; `flank` and `bridge` lie on the side away from the light."""

    bridge: Curve
    flank: Curve
    ridge: Curve
    under: Curve
    tip: Curve
    nostrils: Curve
    wings: Curve


@dataclass(frozen=True)
class Mouth:
    """Lips as closed curves, the line between them, and the teeth if they are visible."""

    upper: Curve
    lower: Curve
    line: Curve
    teeth: Curve | None
    chin_shadow: Curve
    creases: Curve


@dataclass(frozen=True)
class Spectacles:
    """Glasses: two closed rims, the bridge and the visible bars to the ears."""

    rims: Curve
    bars: Curve


@dataclass(frozen=True)
class Face:
    """Everything but hair and clothes."""

    head: Curve
    ears: Curve
    ear_folds: Curve
    neck: Curve
    neck_shadow: Curve
    eyes: Eyes
    nose: Nose
    mouth: Mouth
    cheeks: Curve
    forehead: Curve
    shade: Curve
    """The part of the face in shadow."""
    shade_hatching: Curve
    neck_hatching: Curve
    spectacles: Spectacles | None


def jaw_line(portrait: Portrait) -> Points:
    """Return the right half of the head below the eyes, from the temple to the chin."""
    return [(1.0, 0.0), (0.97, 0.3), (portrait.jaw, 0.64), (portrait.chin, 0.93), (0.0, 1.0)]


def mirror(points: Points) -> Points:
    """Mirror points to the other side of the face, in reverse order."""
    return [(-u, v) for u, v in reversed(points)]


def _both(points: Points | Curve) -> Curve:
    """Duplicate (n, 2) points on the right side of the face to (2, n, 2): mirrored, and as they are."""
    return np.array(points) * [[[-1.0, 1.0]], [[1.0, 1.0]]]


def head_outline(portrait: Portrait) -> Points:
    """Return the whole head, clockwise from the left temple."""
    crown: Points = [(-0.93, -0.44), (-0.66, -0.82), (0.0, -1.0), (0.66, -0.82), (0.93, -0.44)]
    return [*crown, *jaw_line(portrait), *mirror(jaw_line(portrait))[1:]]


def trace_face(pose: Pose) -> Face:
    """Compute the curves of a face, in image coordinates."""
    portrait = pose.portrait
    dark = -1.0 if portrait.light > 0 else 1.0
    cheek = 0.5 * portrait.head_width
    return Face(
        head=smooth(pose.flat(head_outline(portrait)), closed=True),
        ears=_ears(pose),
        ear_folds=_ear_folds(pose),
        neck=_neck(pose),
        neck_shadow=_neck_shadow(pose, dark),
        eyes=_eyes(pose),
        nose=_nose(pose, dark),
        mouth=_mouth(pose),
        cheeks=disc(pose.face(_both([(0.56, 0.34)])), 0.52 * cheek, 0.4 * cheek),
        forehead=disc(pose.face([(-0.25 * dark, -0.45)]), 0.7 * cheek, 0.45 * cheek),
        shade=_shade(pose, dark),
        shade_hatching=_shade_hatching(pose, dark),
        neck_hatching=_neck_hatching(pose, dark),
        spectacles=_spectacles(pose) if portrait.glasses != "none" else None,
    )


def _ears(pose: Pose) -> Curve:
    points = [(0.93, 0.0), (1.07, -0.02), (1.16, 0.18), (1.13, 0.5), (1.05, 0.86), (0.98, 1.0), (0.92, 0.8)]
    return smooth(_turned_ears(pose, points), closed=True)


def _ear_folds(pose: Pose) -> Curve:
    return smooth(_turned_ears(pose, [(1.0, 0.16), (1.08, 0.16), (1.1, 0.36), (1.05, 0.58), (1.0, 0.7)]))


def _turned_ears(pose: Pose, points: Points) -> Curve:
    """Map points of the right ear, v from 0 at its top to 1, to both ears.

    Ears lie behind the centre of the head, so a turn hides one and shows more of the other.
    """
    height = EAR_BOTTOM - EAR_TOP
    return pose.flat(_both([(u, EAR_TOP + v * height) for u, v in points]) - (0.22 * pose.portrait.turn, 0.0))


def _neck(pose: Pose) -> Curve:
    half: Points = [(0.6, 0.55), (0.57, 0.95), (0.6, 1.13), (0.72, 1.26), (0.84, 1.36), (0.8, 1.8), (0.5, 2.3)]
    return pose.body(smooth([*half, *mirror(half)], closed=True))


def _neck_shadow(pose: Pose, dark: float) -> Curve:
    """Compute the shadow of the chin, deeper on the side away from the light."""
    return pose.body(
        smooth(
            [(-0.6 * dark, 0.6), (0.6 * dark, 0.6), (0.58 * dark, 1.28), (0.2 * dark, 1.22), (-0.3 * dark, 1.1)],
            closed=True,
        )
    )


def _eyes(pose: Pose) -> Eyes:
    portrait = pose.portrait
    spacing, half = portrait.eye_spacing, portrait.eye_width
    rise = portrait.eye_open * (1.0 - 0.18 * max(0.0, portrait.smile))

    def at(points: Points, lift: float = 0.0) -> Curve:
        return pose.face(_both([(spacing + u * half, EYE_LINE + v) for u, v in points]), lift)

    upper = smooth(at([(-1.0, 0.02), (-0.5, -0.75 * rise), (0.05, -rise), (0.6, -0.66 * rise), (1.0, -0.005)]))
    lower = smooth(at([(-1.0, 0.02), (-0.4, 0.5 * rise), (0.3, 0.55 * rise), (1.0, -0.005)]))
    brow_v = -portrait.brow_height - 0.04 * abs(portrait.smile)
    slant, weight = portrait.brow_slant, portrait.brow_weight
    looking = (0.42 * half * portrait.gaze[0], rise * (0.3 * portrait.gaze[1] - 0.22))
    iris_at = pose.face(_both([(spacing, EYE_LINE)]) + looking)
    iris_radius = 0.44 * half * portrait.head_width
    glint_at = np.array((0.35 * np.sign(portrait.light), -0.4))
    return Eyes(
        ball=np.concatenate((upper, lower[:, ::-1]), axis=1),
        upper_lid=upper,
        lower_lid=lower,
        crease=smooth(at([(-0.8, -0.7 * rise), (-0.1, -1.55 * rise), (0.6, -1.2 * rise), (1.0, -0.5 * rise)])),
        socket=smooth(at([(-1.3, 0.03), (-0.9, -0.14), (0.3, -0.17), (1.15, -0.08), (0.9, 0.1), (-0.4, 0.11)]), True),
        iris=disc(iris_at, 0.94 * iris_radius, iris_radius),
        pupil=disc(iris_at, 0.42 * iris_radius, 0.42 * iris_radius, 12),
        glint=disc(iris_at + iris_radius * glint_at, 0.24 * iris_radius, 0.24 * iris_radius, 12),
        brow=smooth(
            at(
                [
                    (-1.1, brow_v + slant + weight),
                    (-0.2, brow_v - 0.03 + 0.6 * weight),
                    (0.6, brow_v - 0.035),
                    (1.3, brow_v + 0.05),
                    (0.6, brow_v - 0.035 - weight),
                    (-0.3, brow_v - 0.03 - weight),
                    (-1.1, brow_v + slant - 0.5 * weight),
                ],
                0.05,
            ),
            closed=True,
        ),
    )


def _nose(pose: Pose, dark: float) -> Nose:
    wide, base = pose.portrait.nose_width, pose.portrait.nose_length

    def at(points: Points | Curve, lift: float) -> Curve:
        return pose.face(np.array(points) * (wide, 1.0), lift)

    wing: Points = [(0.72, base - 0.15), (1.05, base - 0.07), (0.98, base), (0.7, base + 0.01)]
    bridge_points: Points = [(1.1 * dark, -0.12), (0.55 * dark, 0.02), (0.5 * dark, 0.16), (0.72 * dark, base - 0.15)]
    bridge = smooth(np.concatenate((at(bridge_points[:1], 0.04), at(bridge_points[1:], 0.12))))
    middle = smooth(
        np.concatenate((at([(0.0, -0.08)], 0.1), at([(0.0, 0.14)], 0.24), at([(0.1 * dark, base - 0.06)], 0.34)))
    )
    foot = at([(0.95 * dark, base + 0.01)], 0.08)
    radius = 0.2 * wide * pose.portrait.head_width
    return Nose(
        bridge=bridge,
        flank=np.concatenate((bridge, foot, middle[::-1])),
        ridge=smooth(np.concatenate((at([(-0.08 * dark, -0.02)], 0.14), at([(-0.1 * dark, base - 0.14)], 0.32)))),
        under=smooth(
            np.concatenate(
                (
                    at([(-0.95, base), (-0.4, base + 0.03)], 0.12),
                    at([(0.0, base + 0.045)], 0.2),
                    at([(0.4, base + 0.03), (0.95, base), (0.5 * dark, base + 0.1)], 0.12),
                )
            ),
            closed=True,
        ),
        tip=smooth(
            np.concatenate(
                (at([(-0.42, base - 0.005)], 0.14), at([(0.0, base + 0.04)], 0.22), at([(0.42, base - 0.005)], 0.14))
            )
        ),
        nostrils=disc(at(_both([(0.52, base + 0.004)]), 0.14), 1.35 * radius, 0.8 * radius, 12),
        wings=smooth(at(_both(wing), 0.1)),
    )


def _mouth(pose: Pose) -> Mouth:
    portrait = pose.portrait
    wide, full, smile = portrait.mouth_width * (1.0 + 0.12 * portrait.smile), portrait.lip_fullness, portrait.smile
    corner, gap = -0.07 * smile, max(0.0, 0.12 * (smile - 0.45))

    def at(points: Points, lift: float = 0.06) -> Curve:
        return pose.face([(u * wide, MOUTH_LINE + v) for u, v in points], lift)

    upper_line: Points = [(-1.0, corner), (-0.45, 0.25 * corner), (0.0, 0.012), (0.45, 0.25 * corner), (1.0, corner)]
    lower_line: Points = [(u, v + gap * (1.0 - u * u) * 1.6) for u, v in upper_line]
    brim: Points = [
        (0.5, -0.72 * full + 0.3 * corner),
        (0.17, -full),
        (0.0, -0.8 * full),
        (-0.17, -full),
        (-0.5, -0.72 * full + 0.3 * corner),
    ]
    belly: Points = [
        (0.55, 0.85 * full + gap),
        (0.2, 1.25 * full + 1.5 * gap),
        (-0.2, 1.25 * full + 1.5 * gap),
        (-0.55, 0.85 * full + gap),
    ]
    line, lower_edge = smooth(at(upper_line)), smooth(at(lower_line))
    return Mouth(
        upper=np.concatenate((line, smooth(at([upper_line[-1], *brim, upper_line[0]])))),
        lower=np.concatenate((lower_edge, smooth(at([lower_line[-1], *belly, lower_line[0]])))),
        line=line,
        teeth=np.concatenate((line, lower_edge[::-1])) if gap > 0.0 else None,
        chin_shadow=smooth(
            at(
                [
                    (-0.5, 1.7 * full + gap),
                    (0.0, 1.45 * full + 1.6 * gap),
                    (0.5, 1.7 * full + gap),
                    (0.0, 2.0 * full + 0.06 + gap),
                ]
            ),
            True,
        ),
        creases=_smile_creases(pose),
    )


def _smile_creases(pose: Pose) -> Curve:
    reach = pose.portrait.mouth_width + 0.12
    return smooth(pose.face(_both([(0.3, 0.36), (reach * 0.94, 0.47), (reach * 1.05, 0.6)]), 0.04))


def _shade(pose: Pose, dark: float) -> Curve:
    """Compute the shadow from the temple down the cheek to the chin, between the outline and the lit part."""
    rim = [(dark * u, v) for u, v in [(0.9, -0.5), *jaw_line(pose.portrait)]]
    depth = 0.25 + 0.3 * abs(pose.portrait.light)
    edge = [
        (0.0, 0.9),
        (dark * (0.6 - 0.5 * depth), 0.72),
        (dark * (1.0 - depth), 0.35),
        (dark * (1.02 - 0.6 * depth), 0.0),
        (dark * 0.8, -0.4),
    ]
    return smooth(np.concatenate((pose.flat(rim), pose.flat(edge))), closed=True)


def _shade_hatching(pose: Pose, dark: float, spacing: float = 0.105) -> Curve:
    """Compute slanted strokes from the outline into the face, longer the further the light is to the side."""
    rim = smooth([(0.93, -0.44), *jaw_line(pose.portrait)])
    starts = np.arange(-0.36, 0.84, spacing)
    edge = np.interp(starts, rim[:, 1], rim[:, 0])
    reach = (0.2 + 0.26 * abs(pose.portrait.light)) * (0.55 + 0.45 * np.sin(np.linspace(0.3, 3.0, len(starts))))
    u = dark * np.stack((edge - 0.03, edge - 0.55 * reach, edge - reach), axis=1)
    return smooth(pose.flat(np.stack((u, starts[:, None] + (0.0, 0.07, 0.16)), axis=-1)))


def _neck_hatching(pose: Pose, dark: float, count: int = 7) -> Curve:
    """Compute strokes that follow the curvature of the neck under the chin."""
    start = np.linspace((0.54, 0.9), (0.54, 1.3), count)
    middle = np.linspace((0.2, 0.95), (0.2, 1.35), count)
    end = np.linspace((-0.4, 0.88), (-0.16, 1.28), count)
    return smooth(pose.body(np.stack((start, middle, end), axis=1) * (dark, 1.0)))


def _spectacles(pose: Pose) -> Spectacles:
    portrait = pose.portrait
    power = 1.0 if portrait.glasses == "round" else 0.55  # of a superellipse's sine and cosine
    angle = np.arange(32) * (np.pi / 16)
    across, down = (np.sign(wave) * np.abs(wave) ** power for wave in (np.cos(angle), np.sin(angle)))
    radius = (0.285, 0.2) if portrait.glasses == "round" else (0.3, 0.16)
    centre = portrait.eye_spacing + 0.015

    rim = np.stack((centre + radius[0] * across, EYE_LINE + 0.02 + radius[1] * down), axis=1)
    inner, outer = centre - radius[0], centre + radius[0]
    nose_bar = smooth(pose.face([(-inner, 0.0), (-0.4 * inner, -0.035), (0.4 * inner, -0.035), (inner, 0.0)], 0.18))
    hinges, ears = pose.face(_both([(outer, 0.0)]), 0.14), _turned_ears(pose, [(1.0, 0.15)])
    ear_bars = np.linspace(hinges[:, 0], ears[:, 0], len(nose_bar), axis=1)
    return Spectacles(rims=pose.face(_both(rim), 0.14), bars=np.concatenate((nose_bar[None], ear_bars)))
