"""The same portrait in pencil on white paper, in one of three manners."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from limner.core.images import Uint8Image
from limner.data_pipeline.synthetic.attributes import Portrait
from limner.data_pipeline.synthetic.brush import Canvas, fill, stain
from limner.data_pipeline.synthetic.curves import Curve, closed, ribbon
from limner.data_pipeline.synthetic.geometry import Eyes, Face
from limner.data_pipeline.synthetic.hair import Beard, Clothes
from limner.data_pipeline.synthetic.lines import Lines

LEAST_WORK_SIDE = 256
"""Sketches are drawn at twice their size, smaller ones at a higher multiple, and averaged down."""
PAPER = 251
PAPER_TINT = (1.0, 0.995, 0.975)


@dataclass(frozen=True)
class Pencil:
    """A manner of drawing: the grey of its darkest line (0 black to 255), its width (of the side) and its shading."""

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


def draw_sketch(lines: Lines, size: int) -> Uint8Image:
    """The portrait as a (size, size, 3) uint8 pencil drawing, nearly grey."""
    portrait, face, hair = lines.portrait, lines.face, lines.hair
    pencil = PENCILS[portrait.style]
    side = size * max(2, math.ceil(LEAST_WORK_SIDE / size))

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
    """How dark the hair is, 0.25 (white) to 1 (black); by the weights of ITU-R BT.601."""
    red, green, blue = portrait.hair_colour
    return 1.0 - 0.75 * (0.299 * red + 0.587 * green + 0.114 * blue) / 255.0


def _stroke(paper: Canvas, pencil: Pencil, curve: Curve, weight: float = 1.0, opacity: float = 0.9) -> None:
    """Pencil lines, thinner towards their ends; `weight` is relative to the pencil's width."""
    stain(paper, ribbon(curve, pencil.width * weight), pencil.grey, opacity)


def _outline(paper: Canvas, pencil: Pencil, curve: Curve, weight: float = 1.0, opacity: float = 0.9) -> None:
    """One even line round a closed curve."""
    stain(paper, ribbon(closed(curve), pencil.width * weight, 0.0), pencil.grey, opacity)


def _smudge(paper: Canvas, pencil: Pencil, curve: Curve, tone: float, blur: float, within: Curve | None = None) -> None:
    """Soft tone inside a closed curve, as rubbed with a finger."""
    if pencil.smudge > 0.0:
        stain(paper, curve, pencil.grey, pencil.smudge * tone, blur, within)


def _hatch(paper: Canvas, pencil: Pencil, lines: Curve, within: Curve) -> None:
    """Strokes side by side, inside a closed curve."""
    if pencil.hatching > 0.0:
        stain(paper, ribbon(lines, 0.8 * pencil.width), pencil.grey, pencil.hatching, within=within)


def _draw_hair(paper: Canvas, portrait: Portrait, pencil: Pencil, masses: tuple[Curve, ...], strands: Curve) -> None:
    if not masses:
        return
    dark = _darkness(portrait)
    for mass in masses:
        _outline(paper, pencil, mass, 1.6)
    for mass in masses:  # over the inner halves of the lines, and those where two masses meet
        fill(paper, mass, PAPER)
    stain(paper, masses, pencil.grey, dark * (0.1 + pencil.smudge), 0.003)
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
    stain(paper, eyes.brow, pencil.grey, 0.45 + 0.45 * _darkness(portrait), 0.0012)


def _draw_eyeballs(paper: Canvas, pencil: Pencil, eyes: Eyes) -> None:
    fill(paper, eyes.ball, PAPER)
    stain(paper, eyes.iris, pencil.grey, 0.55, within=eyes.ball)
    stain(paper, ribbon(closed(eyes.iris), 0.7 * pencil.width, 0.0), pencil.grey, 0.9, within=eyes.ball)
    stain(paper, eyes.pupil, pencil.grey // 2, 1.0, within=eyes.ball)
    stain(paper, eyes.glint, PAPER, 1.0, within=eyes.ball)


def _draw_nose(paper: Canvas, pencil: Pencil, face: Face) -> None:
    nose = face.nose
    _smudge(paper, pencil, nose.flank, 0.5, 0.005)
    _smudge(paper, pencil, nose.under, 0.6, 0.005)
    _stroke(paper, pencil, nose.bridge, 0.8, 0.6)
    _stroke(paper, pencil, nose.tip, 1.0, 0.8)
    _stroke(paper, pencil, nose.wings)
    stain(paper, nose.nostrils, pencil.grey, 0.85)


def _draw_beard(paper: Canvas, portrait: Portrait, pencil: Pencil, beard: Beard) -> None:
    dark = _darkness(portrait) * (0.4 if portrait.beard == "stubble" else 1.0)
    if beard.masses:
        stain(paper, beard.masses, pencil.grey, dark * (0.15 + pencil.smudge), 0.006)
    _stroke(paper, pencil, beard.strands, 0.6 + 0.4 * dark, 0.25 + 0.6 * dark)


def _draw_mouth(paper: Canvas, portrait: Portrait, pencil: Pencil, face: Face) -> None:
    mouth = face.mouth
    _stroke(paper, pencil, mouth.creases, 0.8, 0.25 + 0.45 * max(0.0, portrait.smile))
    _smudge(paper, pencil, mouth.chin_shadow, 0.25, 0.007)
    if mouth.teeth is not None:
        fill(paper, mouth.teeth, PAPER)
    stain(paper, mouth.upper, pencil.grey, 0.4, 0.0015)
    stain(paper, mouth.lower, pencil.grey, 0.2, 0.0015)
    _outline(paper, pencil, mouth.upper, 0.5, 0.6)
    _stroke(paper, pencil, mouth.lower[len(mouth.line) :], 0.9, 0.7)
    _stroke(paper, pencil, mouth.line, 1.4, 1.0)


def _draw_spectacles(paper: Canvas, pencil: Pencil, face: Face) -> None:
    if face.spectacles is None:
        return
    _outline(paper, pencil, face.spectacles.rims, 1.5, 1.0)
    _stroke(paper, pencil, face.spectacles.bars, 1.3, 1.0)
