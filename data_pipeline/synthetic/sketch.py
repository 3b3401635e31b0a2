"""Render the same portrait in pencil on white paper, in one of three styles."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from limner.core.images import LUMA, Uint8Image
from limner.data_pipeline.synthetic.attributes import Portrait
from limner.data_pipeline.synthetic.brush import MIN_CANVAS_SIDE, Canvas, blend, fill
from limner.data_pipeline.synthetic.curves import Curve, closed, ribbon
from limner.data_pipeline.synthetic.geometry import Eyes, Face
from limner.data_pipeline.synthetic.hair import Beard, Clothes
from limner.data_pipeline.synthetic.lines import Lines

PAPER = 251
PAPER_TINT = (1.0, 0.995, 0.975)


@dataclass(frozen=True)
class Pencil:
    """A drawing style: the grey of its darkest line (0 black to 255), its width (of the side) and its shading."""

    grey: int
    width: float
    hatching: float
    """Opacity of hatched strokes in shadows and hair, 0 to 1."""
    smudge: float
    """Opacity of soft tone in shadows and hair, 0 to 1."""


PENCILS = (
    Pencil(grey=88, width=0.0055, hatching=0.0, smudge=0.0),
    Pencil(grey=62, width=0.0062, hatching=0.75, smudge=0.08),
    Pencil(grey=34, width=0.0085, hatching=0.3, smudge=0.55),
)


def render_sketch(lines: Lines, size: int) -> Uint8Image:
    """Render the portrait as a (size, size, 3) uint8 RGB pencil drawing, nearly grey."""
    portrait, face, hair = lines.portrait, lines.face, lines.hair
    pencil = PENCILS[portrait.style]
    side = size * max(2, math.ceil(MIN_CANVAS_SIDE / size))  # thin lines need at least twice the size

    paper = np.full((side, side), PAPER, dtype=np.uint8)
    _draw_hair(paper, portrait, pencil, hair.back, hair.back_strands)
    _draw_body(paper, portrait, pencil, face, lines.clothes)
    _draw_head(paper, pencil, face)
    _draw_eyes(paper, portrait, pencil, face.eyes)
    _draw_nose(paper, pencil, face)
    _draw_beard(paper, portrait, pencil, lines.beard)
    _draw_mouth(paper, portrait, pencil, face)
    _draw_hair(paper, portrait, pencil, hair.front, hair.strands)
    _draw_spectacles(paper, pencil, face)
    paper = cv2.resize(paper, (size, size), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return np.round(paper[:, :, None] * np.array(PAPER_TINT, dtype=np.float32)).astype(np.uint8)


def _darkness(portrait: Portrait) -> float:
    """Return the darkness of the hair, 0.25 (white) to 1 (black)."""
    luma = sum(weight * channel for weight, channel in zip(LUMA.tolist(), portrait.hair_colour, strict=True))
    return float(1.0 - 0.75 * luma / 255.0)


def _stroke(paper: Canvas, pencil: Pencil, curve: Curve, weight: float = 1.0, opacity: float = 0.9) -> None:
    """Draw lines that get thinner towards their ends; `weight` is relative to the pencil's width."""
    blend(paper, ribbon(curve, pencil.width * weight), pencil.grey, opacity)


def _outline(paper: Canvas, pencil: Pencil, curve: Curve, weight: float = 1.0, opacity: float = 0.9) -> None:
    """Draw an even line around a closed curve."""
    blend(paper, ribbon(closed(curve), pencil.width * weight, 0.0), pencil.grey, opacity)


def _smudge(paper: Canvas, pencil: Pencil, curve: Curve, tone: float, blur: float, within: Curve | None = None) -> None:
    """Fill a closed curve with a soft tone, as if smudged with a finger."""
    if pencil.smudge > 0.0:
        blend(paper, curve, pencil.grey, pencil.smudge * tone, blur, within)


def _hatch(paper: Canvas, pencil: Pencil, lines: Curve, within: Curve) -> None:
    """Draw hatching, clipped to a closed curve."""
    if pencil.hatching > 0.0:
        blend(paper, ribbon(lines, 0.8 * pencil.width), pencil.grey, pencil.hatching, within=within)


def _draw_hair(paper: Canvas, portrait: Portrait, pencil: Pencil, masses: tuple[Curve, ...], strands: Curve) -> None:
    if not masses:
        return
    dark = _darkness(portrait)
    for mass in masses:
        _outline(paper, pencil, mass, 1.6)
    for mass in masses:  # covers the inner halves of the lines, and the lines between two masses
        fill(paper, mass, PAPER)
    blend(paper, masses, pencil.grey, dark * (0.1 + pencil.smudge), 0.003)
    drawn = strands if pencil.hatching > 0.0 else strands[::2]
    _stroke(paper, pencil, drawn, 0.7 + 0.5 * dark, 0.35 + 0.5 * dark)


def _draw_body(paper: Canvas, portrait: Portrait, pencil: Pencil, face: Face, clothes: Clothes) -> None:
    fill(paper, face.neck, PAPER)
    _smudge(paper, pencil, face.neck_shadow, 0.7, 0.01, within=face.neck)
    _hatch(paper, pencil, face.neck_hatching, within=face.neck)
    _outline(paper, pencil, face.neck, 0.9)
    fill(paper, clothes.torso, PAPER)
    cloth_darkness = 1.0 - sum(portrait.clothes) / 765.0
    _smudge(paper, pencil, clothes.torso, 0.7 * cloth_darkness, 0.004)
    _smudge(paper, pencil, clothes.shade, 0.5, 0.03, within=clothes.torso)
    _hatch(paper, pencil, clothes.hatching, within=clothes.torso)
    _stroke(paper, pencil, clothes.folds, 0.8, 0.5)
    _outline(paper, pencil, clothes.torso)
    for part in clothes.collar:
        fill(paper, part, PAPER)
        _outline(paper, pencil, part, 0.9)
    _stroke(paper, pencil, clothes.seams, 0.8, 0.7)


def _draw_head(paper: Canvas, pencil: Pencil, face: Face) -> None:
    fill(paper, face.ears, PAPER)
    _outline(paper, pencil, face.ears, 0.9)
    _stroke(paper, pencil, face.ear_folds, 0.9, 0.7)
    fill(paper, face.head, PAPER)
    _smudge(paper, pencil, face.shade, 0.6, 0.018, within=face.head)
    _hatch(paper, pencil, face.shade_hatching, within=face.head)
    _outline(paper, pencil, face.head, 1.1)


def _draw_eyes(paper: Canvas, portrait: Portrait, pencil: Pencil, eyes: Eyes) -> None:
    _smudge(paper, pencil, eyes.socket, 0.4, 0.01)
    _draw_eyeballs(paper, pencil, eyes)
    _stroke(paper, pencil, eyes.upper_lid, 1.6, 1.0)
    _stroke(paper, pencil, eyes.lower_lid, 0.8, 0.8)
    _stroke(paper, pencil, eyes.crease, 0.7, 0.6)
    blend(paper, eyes.brow, pencil.grey, 0.45 + 0.45 * _darkness(portrait), 0.0012)


def _draw_eyeballs(paper: Canvas, pencil: Pencil, eyes: Eyes) -> None:
    fill(paper, eyes.ball, PAPER)
    blend(paper, eyes.iris, pencil.grey, 0.55, within=eyes.ball)
    blend(paper, ribbon(closed(eyes.iris), 0.7 * pencil.width, 0.0), pencil.grey, 0.9, within=eyes.ball)
    blend(paper, eyes.pupil, pencil.grey // 2, 1.0, within=eyes.ball)
    blend(paper, eyes.glint, PAPER, 1.0, within=eyes.ball)


def _draw_nose(paper: Canvas, pencil: Pencil, face: Face) -> None:
    nose = face.nose
    _smudge(paper, pencil, nose.flank, 0.5, 0.005)
    _smudge(paper, pencil, nose.under, 0.6, 0.005)
    _stroke(paper, pencil, nose.bridge, 0.8, 0.6)
    _stroke(paper, pencil, nose.tip, 1.0, 0.8)
    _stroke(paper, pencil, nose.wings)
    blend(paper, nose.nostrils, pencil.grey, 0.85)


def _draw_beard(paper: Canvas, portrait: Portrait, pencil: Pencil, beard: Beard) -> None:
    dark = _darkness(portrait) * (0.4 if portrait.beard == "stubble" else 1.0)
    if beard.masses:
        blend(paper, beard.masses, pencil.grey, dark * (0.15 + pencil.smudge), 0.006)
    _stroke(paper, pencil, beard.strands, 0.6 + 0.4 * dark, 0.25 + 0.6 * dark)


def _draw_mouth(paper: Canvas, portrait: Portrait, pencil: Pencil, face: Face) -> None:
    mouth = face.mouth
    _stroke(paper, pencil, mouth.creases, 0.8, 0.25 + 0.45 * max(0.0, portrait.smile))
    _smudge(paper, pencil, mouth.chin_shadow, 0.25, 0.007)
    if mouth.teeth is not None:
        fill(paper, mouth.teeth, PAPER)
    blend(paper, mouth.upper, pencil.grey, 0.4, 0.0015)
    blend(paper, mouth.lower, pencil.grey, 0.2, 0.0015)
    _outline(paper, pencil, mouth.upper, 0.5, 0.6)
    _stroke(paper, pencil, mouth.lower[len(mouth.line) :], 0.9, 0.7)
    _stroke(paper, pencil, mouth.line, 1.4, 1.0)


def _draw_spectacles(paper: Canvas, pencil: Pencil, face: Face) -> None:
    if face.spectacles is None:
        return
    _outline(paper, pencil, face.spectacles.rims, 1.5, 1.0)
    _stroke(paper, pencil, face.spectacles.bars, 1.3, 1.0)
