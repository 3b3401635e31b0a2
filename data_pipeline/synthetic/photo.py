"""A portrait as a camera sees it: shaded by one light from a side, blurred behind, with sensor noise."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from limner.core.images import Uint8Image
from limner.data_pipeline.synthetic.attributes import Colour, Portrait
from limner.data_pipeline.synthetic.brush import Canvas, fill, stain
from limner.data_pipeline.synthetic.curves import Curve, closed, ribbon
from limner.data_pipeline.synthetic.geometry import Eyes, Face, Nose
from limner.data_pipeline.synthetic.hair import Beard, Clothes, Hair
from limner.data_pipeline.synthetic.lines import Lines

LEAST_WORK_SIDE = 256
"""Smaller pictures are painted at a multiple of their size and averaged down."""
LIGHT_SIDE = 64
"""Side of the coarse grid on which light is computed; it varies slowly."""
KEY_LIGHT = (0.98, 0.94, 0.86)
FILL_LIGHT = (0.47, 0.49, 0.55)
LENS_BLUR = 0.0016
"""Standard deviation of the lens' blur, of the side."""
NOISE = 2.6
"""Standard deviation of the sensor's noise, in grey levels."""

BLACK: Colour = (18, 14, 14)
WHITE: Colour = (250, 248, 244)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with a share of `second` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def paint_photo(lines: Lines, size: int) -> Uint8Image:
    """The portrait as a (size, size, 3) uint8 RGB photo."""
    portrait, face, hair, clothes = lines.portrait, lines.face, lines.hair, lines.clothes
    side = size * math.ceil(LEAST_WORK_SIDE / size)

    canvas = _backdrop(portrait, side)
    _paint_hair(canvas, portrait, hair.back, hair.back_strands, 0.72)
    _paint_body(canvas, portrait, face, clothes)
    _cast(canvas, _body_light(portrait), [*hair.back, face.neck, clothes.torso, *clothes.collar])
    _paint_head(canvas, portrait, face)
    _paint_eyes(canvas, portrait, face.eyes)
    _paint_nose(canvas, portrait, face.nose)
    _paint_beard(canvas, portrait, lines.beard)
    _paint_mouth(canvas, portrait, face)
    _paint_hair(canvas, portrait, hair.front, hair.strands, 1.0)
    _paint_sheen(canvas, portrait, hair)
    _cast(canvas, _head_light(portrait), [face.ears, face.head, *hair.front])
    _paint_spectacles(canvas, face)
    return _expose(canvas, portrait, size)


def _backdrop(portrait: Portrait, side: int) -> Canvas:
    """A wall out of focus: brighter on the side of the light, with one soft patch behind a shoulder."""
    y, x = np.mgrid[0:LIGHT_SIDE, 0:LIGHT_SIDE] / (LIGHT_SIDE - 1.0)
    near = 0.5 + 0.5 * (2.0 * x - 1.0) * portrait.light
    share = np.clip(0.75 * (1.0 - near) + 0.35 * y, 0.0, 1.0)[:, :, None]
    wall = np.array(portrait.backdrop[0]) * (1.0 - share) + np.array(portrait.backdrop[1]) * share
    patch = np.exp(-(((x - 0.5 + 0.4 * portrait.light) / 0.22) ** 2) - ((y - 0.35 - 2.0 * portrait.tilt) / 0.3) ** 2)
    wall = np.clip(wall + 22.0 * patch[:, :, None], 0.0, 255.0)
    image: Canvas = cv2.resize(np.round(wall).astype(np.uint8), (side, side), interpolation=cv2.INTER_LINEAR)
    return image


def _lambert(normal: npt.NDArray[np.float64], portrait: Portrait) -> npt.NDArray[np.float32]:
    """(..., 3) unit normals, z towards the camera -> (..., 3) brightness: a warm light from a side and a cool fill."""
    towards = np.array((portrait.light, -0.5, 0.75))
    facing = np.clip(normal @ (towards / np.linalg.norm(towards)), 0.0, None)[..., None]
    brightness: npt.NDArray[np.float64] = np.array(FILL_LIGHT) + np.array(KEY_LIGHT) * 0.72 * facing
    return brightness.astype(np.float32)


def _head_coordinates(portrait: Portrait) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(u, v) in head units at the middle of each cell of the light's grid."""
    y, x = (np.mgrid[0:LIGHT_SIDE, 0:LIGHT_SIDE] + 0.5) / LIGHT_SIDE
    x, y = x - portrait.centre[0], y - portrait.centre[1]
    cos, sin = math.cos(portrait.tilt), math.sin(portrait.tilt)
    return (x * cos + y * sin) / portrait.head_width, (y * cos - x * sin) / portrait.head_height


def _head_light(portrait: Portrait) -> npt.NDArray[np.float32]:
    """Light on the head as on an ellipsoid a little larger than it."""
    u, v = (axis / 1.12 for axis in _head_coordinates(portrait))
    radius = np.maximum(np.hypot(u, v), 1.0)
    u, v = u / radius, v / radius
    depth = np.sqrt(np.clip(1.0 - u**2 - v**2, 0.0, 1.0))
    return _lambert(np.stack((u, v, depth), axis=-1), portrait)


def _body_light(portrait: Portrait) -> npt.NDArray[np.float32]:
    """Light on neck and torso as on an upright cylinder."""
    u = np.clip(_head_coordinates(portrait)[0] / 2.3, -1.0, 1.0)
    return _lambert(np.stack((u, np.zeros_like(u), np.sqrt(1.0 - u**2)), axis=-1), portrait)


def _cast(canvas: Canvas, light: npt.NDArray[np.float32], shapes: list[Curve]) -> None:
    """Light what is painted inside these shapes by the coarse map `light`."""
    side = len(canvas)
    mask = np.zeros((side, side), dtype=np.uint8)
    for shape in shapes:
        fill(mask, shape, 255)
    lit = cv2.multiply(canvas, cv2.resize(light, (side, side), interpolation=cv2.INTER_LINEAR), dtype=cv2.CV_8U)
    share = mask * np.float32(1.0 / 255.0)
    canvas[...] = cv2.blendLinear(canvas, lit, 1.0 - share, share)


def _paint_hair(
    canvas: Canvas, portrait: Portrait, masses: tuple[Curve, ...], strands: Curve, brightness: float
) -> None:
    colour = mixed(BLACK, portrait.hair_colour, brightness)
    for mass in masses:
        fill(canvas, mass, colour)
    strokes = ribbon(strands, 0.006)
    stain(canvas, (strokes[1::3], strokes[2::3]), mixed(colour, BLACK, 0.55), 0.7)
    stain(canvas, strokes[::3], mixed(colour, WHITE, 0.2), 0.7)


def _paint_sheen(canvas: Canvas, portrait: Portrait, hair: Hair) -> None:
    """The bright band on the lit side of the hair."""
    if hair.sheen is not None:
        lit = hair.sheen[len(hair.sheen) // 3 :] if portrait.light > 0 else hair.sheen[: -len(hair.sheen) // 3]
        stain(canvas, ribbon(lit, 0.03, 1.0), mixed(portrait.hair_colour, WHITE, 0.5), 0.45, 0.009)


def _paint_body(canvas: Canvas, portrait: Portrait, face: Face, clothes: Clothes) -> None:
    skin, cloth = portrait.skin, portrait.clothes
    shadow = mixed(skin, (60, 24, 20), 0.5)
    fill(canvas, face.neck, skin)
    stain(canvas, face.neck_shadow, shadow, 0.8, 0.01, within=face.neck)
    stain(canvas, face.head, shadow, 0.75, 0.006, within=face.neck)
    fill(canvas, clothes.torso, cloth)
    stain(canvas, clothes.shade, mixed(cloth, BLACK, 0.6), 0.35, 0.03, within=clothes.torso)
    stain(canvas, ribbon(clothes.hatching, 0.01), mixed(cloth, BLACK, 0.6), 0.2, 0.003, within=clothes.torso)
    stain(canvas, ribbon(clothes.folds, 0.012), mixed(cloth, BLACK, 0.6), 0.3, 0.004, within=clothes.torso)
    trim = WHITE if portrait.collar == "shirt" else mixed(cloth, WHITE, 0.14)
    for part in clothes.collar:
        stain(canvas, part, mixed(cloth, BLACK, 0.7), 0.6, 0.006)
        fill(canvas, part, trim)
        stain(canvas, ribbon(closed(part), 0.004, 0.0), mixed(trim, BLACK, 0.5), 0.6)
    stain(canvas, ribbon(clothes.seams, 0.005), mixed(cloth, BLACK, 0.6), 0.7)


def _paint_head(canvas: Canvas, portrait: Portrait, face: Face) -> None:
    skin = portrait.skin
    shadow, flush = mixed(skin, (60, 24, 20), 0.5), mixed(skin, (214, 70, 60), 0.5)
    fill(canvas, face.ears, mixed(skin, flush, 0.35))
    stain(canvas, ribbon(face.ear_folds, 0.012), shadow, 0.7, 0.002)
    fill(canvas, face.head, skin)
    stain(canvas, face.shade, shadow, 0.5, 0.02, within=face.head)
    stain(canvas, face.cheeks, flush, 0.3, 0.016)
    stain(canvas, face.forehead, mixed(skin, WHITE, 0.75), 0.32, 0.022)


def _paint_eyes(canvas: Canvas, portrait: Portrait, eyes: Eyes) -> None:
    skin = portrait.skin
    shadow = mixed(skin, (60, 24, 20), 0.5)
    stain(canvas, eyes.socket, shadow, 0.42, 0.011)
    stain(canvas, ribbon(eyes.crease, 0.006), shadow, 0.7, 0.0015)
    _paint_eyeballs(canvas, portrait, eyes)
    stain(canvas, ribbon(eyes.upper_lid, 0.0085, 0.6), BLACK, 0.85)
    stain(canvas, ribbon(eyes.lower_lid, 0.004), mixed(shadow, BLACK, 0.3), 0.7)
    stain(canvas, eyes.brow, mixed(BLACK, portrait.hair_colour, 0.75), 0.85, 0.0015)


def _paint_eyeballs(canvas: Canvas, portrait: Portrait, eyes: Eyes) -> None:
    fill(canvas, eyes.ball, (232, 226, 220))
    stain(canvas, eyes.iris, mixed(portrait.eye_colour, BLACK, 0.45), 1.0, within=eyes.ball)
    stain(canvas, eyes.iris, portrait.eye_colour, 0.8, 0.003, within=eyes.ball)
    stain(canvas, eyes.pupil, BLACK, 1.0, within=eyes.ball)
    stain(canvas, ribbon(eyes.upper_lid, 0.016), BLACK, 0.5, 0.003, within=eyes.ball)
    stain(canvas, eyes.glint, WHITE, 1.0, within=eyes.ball)


def _paint_nose(canvas: Canvas, portrait: Portrait, nose: Nose) -> None:
    skin = portrait.skin
    shadow = mixed(skin, (60, 24, 20), 0.5)
    stain(canvas, nose.flank, shadow, 0.42, 0.006)
    stain(canvas, nose.under, shadow, 0.65, 0.006)
    stain(canvas, ribbon(nose.wings, 0.008), shadow, 0.7, 0.002)
    stain(canvas, nose.nostrils, mixed(shadow, BLACK, 0.6), 0.85, 0.0015)
    stain(canvas, ribbon(nose.ridge, 0.012), mixed(skin, WHITE, 0.8), 0.5, 0.005)


def _paint_beard(canvas: Canvas, portrait: Portrait, beard: Beard) -> None:
    colour = mixed(BLACK, portrait.hair_colour, 0.85)
    stubble = portrait.beard == "stubble"
    if beard.masses:
        stain(canvas, beard.masses, colour, 0.3 if stubble else 0.88, 0.01 if stubble else 0.005)
    strokes, opacity = ribbon(beard.strands, 0.005), 0.12 if stubble else 0.6
    stain(canvas, strokes[::2], mixed(colour, BLACK, 0.5), opacity)
    stain(canvas, strokes[1::2], mixed(colour, WHITE, 0.18), opacity)


def _paint_mouth(canvas: Canvas, portrait: Portrait, face: Face) -> None:
    mouth, skin = face.mouth, portrait.skin
    shadow, lips = mixed(skin, (60, 24, 20), 0.5), mixed(skin, (170, 50, 56), 0.5)
    stain(canvas, ribbon(mouth.creases, 0.01), shadow, 0.25 + 0.4 * max(0.0, portrait.smile), 0.004)
    if portrait.beard != "full":
        stain(canvas, mouth.chin_shadow, shadow, 0.25, 0.008)
    if mouth.teeth is not None:
        fill(canvas, mouth.teeth, (236, 228, 218))
    stain(canvas, mouth.upper, mixed(lips, BLACK, 0.16), 0.9, 0.0015)
    stain(canvas, mouth.lower, lips, 0.9, 0.002)
    stain(canvas, ribbon(mouth.line, 0.0075), mixed(lips, BLACK, 0.75), 0.9)
    belly = mouth.lower[len(mouth.line) :]
    gloss = belly[len(belly) // 3 : -len(belly) // 3] - (0.0, 0.25 * portrait.lip_fullness * portrait.head_height)
    stain(canvas, ribbon(gloss, 0.008), WHITE, 0.35, 0.003)


def _paint_spectacles(canvas: Canvas, face: Face) -> None:
    if face.spectacles is None:
        return
    rims, bars = face.spectacles.rims, face.spectacles.bars
    frame = (ribbon(closed(rims), 0.009, 0.0), ribbon(bars, 0.009, 0.0))
    stain(canvas, rims, (214, 226, 236), 0.13)
    stain(canvas, frame[0] + np.array((0.0, 0.008)), (60, 24, 20), 0.3, 0.003)
    stain(canvas, frame, (28, 26, 30), 0.95)
    stain(canvas, ribbon(rims[:, 18:26] + np.array((0.006, 0.008)), 0.007), WHITE, 0.4, 0.002)


def _expose(canvas: Canvas, portrait: Portrait, size: int) -> Uint8Image:
    """Blur as a lens does, average down to `size` and add the sensor's noise."""
    image = cv2.GaussianBlur(canvas, (0, 0), LENS_BLUR * len(canvas))
    if len(canvas) != size:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    key = np.array([portrait.seed, portrait.index], dtype=np.uint64)
    rng = np.random.Generator(np.random.Philox(key=key).jumped())  # apart from the draws of the attributes
    noise = np.float32(NOISE) * rng.standard_normal((size, size), dtype=np.float32)
    return cv2.add(image, cv2.merge([noise] * 3), dtype=cv2.CV_8U).astype(np.uint8, copy=False)
