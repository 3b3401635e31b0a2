"""Render a portrait as a photo: lit from one side, with a blurred background and sensor noise."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from limner.core.images import Uint8Image
from limner.data_pipeline.synthetic.attributes import Colour, Portrait, philox
from limner.data_pipeline.synthetic.brush import MIN_CANVAS_SIDE, Canvas, blend, fill
from limner.data_pipeline.synthetic.curves import Curve, closed, ribbon
from limner.data_pipeline.synthetic.geometry import Eyes, Face, Nose
from limner.data_pipeline.synthetic.hair import Beard, Clothes, Hair
from limner.data_pipeline.synthetic.lines import Lines

LIGHT_SIDE = 64
"""Side of the coarse grid on which light is computed, since it varies slowly."""
KEY_LIGHT = (0.98, 0.94, 0.86)
FILL_LIGHT = (0.47, 0.49, 0.55)
LENS_BLUR = 0.0016
"""Standard deviation of the lens blur, of the side."""
NOISE = 2.6
"""Standard deviation of the sensor noise, in grey levels."""

BLACK: Colour = (18, 14, 14)
BROWN: Colour = (60, 24, 20)
WHITE: Colour = (250, 248, 244)


def mix(first: Colour, second: Colour, weight: float) -> Colour:
    """Interpolate from `first` (weight 0) to `second` (1)."""
    red, green, blue = (round(a + (b - a) * weight) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _shadow_of(skin: Colour) -> Colour:
    return mix(skin, BROWN, 0.5)


def render_photo(lines: Lines, size: int) -> Uint8Image:
    """Render the portrait as a (size, size, 3) uint8 RGB photo."""
    portrait, face, hair, clothes = lines.portrait, lines.face, lines.hair, lines.clothes
    side = size * math.ceil(MIN_CANVAS_SIDE / size)

    canvas = _backdrop(portrait, side)
    _paint_hair(canvas, portrait, hair.back, hair.back_strands, 0.72)
    _paint_body(canvas, portrait, face, clothes)
    _apply_light(canvas, _body_light(portrait), [*hair.back, face.neck, clothes.torso, *clothes.collar])
    _paint_head(canvas, portrait, face)
    _paint_eyes(canvas, portrait, face.eyes)
    _paint_nose(canvas, portrait, face.nose)
    _paint_beard(canvas, portrait, lines.beard)
    _paint_mouth(canvas, portrait, face)
    _paint_hair(canvas, portrait, hair.front, hair.strands, 1.0)
    _paint_sheen(canvas, portrait, hair)
    _apply_light(canvas, _head_light(portrait), [face.ears, face.head, *hair.front])
    _paint_spectacles(canvas, face)
    return _add_camera_effects(canvas, portrait, size)


def _backdrop(portrait: Portrait, side: int) -> Canvas:
    """Render a wall out of focus: brighter on the lit side, with one soft patch behind a shoulder."""
    y, x = np.mgrid[0:LIGHT_SIDE, 0:LIGHT_SIDE] / (LIGHT_SIDE - 1.0)
    near = 0.5 + 0.5 * (2.0 * x - 1.0) * portrait.light
    weight = np.clip(0.75 * (1.0 - near) + 0.35 * y, 0.0, 1.0)[:, :, None]
    wall = np.array(portrait.backdrop[0]) * (1.0 - weight) + np.array(portrait.backdrop[1]) * weight
    patch = np.exp(-(((x - 0.5 + 0.4 * portrait.light) / 0.22) ** 2) - ((y - 0.35 - 2.0 * portrait.tilt) / 0.3) ** 2)
    wall = np.clip(wall + 22.0 * patch[:, :, None], 0.0, 255.0)
    image: Canvas = cv2.resize(np.round(wall).astype(np.uint8), (side, side), interpolation=cv2.INTER_LINEAR)
    return image


def _lambert(normal: npt.NDArray[np.float64], portrait: Portrait) -> npt.NDArray[np.float32]:
    """Shade (..., 3) unit normals, z towards the camera, by a warm key light and a cool fill: (..., 3) brightness."""
    direction = np.array((portrait.light, -0.5, 0.75))
    facing = np.clip(normal @ (direction / np.linalg.norm(direction)), 0.0, None)[..., None]
    brightness: npt.NDArray[np.float64] = np.array(FILL_LIGHT) + np.array(KEY_LIGHT) * 0.72 * facing
    return brightness.astype(np.float32)


def _head_coordinates(portrait: Portrait) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (u, v) in head units at the centre of each cell of the light grid."""
    y, x = (np.mgrid[0:LIGHT_SIDE, 0:LIGHT_SIDE] + 0.5) / LIGHT_SIDE
    x, y = x - portrait.centre[0], y - portrait.centre[1]
    cos, sin = math.cos(portrait.tilt), math.sin(portrait.tilt)
    return (x * cos + y * sin) / portrait.head_width, (y * cos - x * sin) / portrait.head_height


def _head_light(portrait: Portrait) -> npt.NDArray[np.float32]:
    """Compute the light on the head, as on a slightly larger ellipsoid."""
    u, v = (axis / 1.12 for axis in _head_coordinates(portrait))
    radius = np.maximum(np.hypot(u, v), 1.0)
    u, v = u / radius, v / radius
    depth = np.sqrt(np.clip(1.0 - u**2 - v**2, 0.0, 1.0))
    return _lambert(np.stack((u, v, depth), axis=-1), portrait)


def _body_light(portrait: Portrait) -> npt.NDArray[np.float32]:
    """Compute the light on neck and torso, as on an upright cylinder."""
    u = np.clip(_head_coordinates(portrait)[0] / 2.3, -1.0, 1.0)
    return _lambert(np.stack((u, np.zeros_like(u), np.sqrt(1.0 - u**2)), axis=-1), portrait)


def _apply_light(canvas: Canvas, light: npt.NDArray[np.float32], shapes: list[Curve]) -> None:
    """Multiply the canvas inside these shapes by the coarse light map, (LIGHT_SIDE, LIGHT_SIDE, 3)."""
    side = len(canvas)
    mask = np.zeros((side, side), dtype=np.uint8)
    for shape in shapes:
        fill(mask, shape, 255)
    lit = cv2.multiply(canvas, cv2.resize(light, (side, side), interpolation=cv2.INTER_LINEAR), dtype=cv2.CV_8U)
    alpha = mask * np.float32(1.0 / 255.0)
    canvas[...] = cv2.blendLinear(canvas, lit, 1.0 - alpha, alpha)


def _paint_hair(
    canvas: Canvas, portrait: Portrait, masses: tuple[Curve, ...], strands: Curve, brightness: float
) -> None:
    colour = mix(BLACK, portrait.hair_colour, brightness)
    for mass in masses:
        fill(canvas, mass, colour)
    strokes = ribbon(strands, 0.006)
    blend(canvas, (strokes[1::3], strokes[2::3]), mix(colour, BLACK, 0.55), 0.7)
    blend(canvas, strokes[::3], mix(colour, WHITE, 0.2), 0.7)


def _paint_sheen(canvas: Canvas, portrait: Portrait, hair: Hair) -> None:
    """Paint the bright band on the lit side of the hair."""
    if hair.sheen is not None:
        lit = hair.sheen[len(hair.sheen) // 3 :] if portrait.light > 0 else hair.sheen[: -len(hair.sheen) // 3]
        blend(canvas, ribbon(lit, 0.03, 1.0), mix(portrait.hair_colour, WHITE, 0.5), 0.45, 0.009)


def _paint_body(canvas: Canvas, portrait: Portrait, face: Face, clothes: Clothes) -> None:
    skin, cloth = portrait.skin, portrait.clothes
    shadow = _shadow_of(skin)
    fill(canvas, face.neck, skin)
    blend(canvas, face.neck_shadow, shadow, 0.8, 0.01, within=face.neck)
    blend(canvas, face.head, shadow, 0.75, 0.006, within=face.neck)
    fill(canvas, clothes.torso, cloth)
    blend(canvas, clothes.shade, mix(cloth, BLACK, 0.6), 0.35, 0.03, within=clothes.torso)
    blend(canvas, ribbon(clothes.hatching, 0.01), mix(cloth, BLACK, 0.6), 0.2, 0.003, within=clothes.torso)
    blend(canvas, ribbon(clothes.folds, 0.012), mix(cloth, BLACK, 0.6), 0.3, 0.004, within=clothes.torso)
    trim = WHITE if portrait.collar == "shirt" else mix(cloth, WHITE, 0.14)
    for part in clothes.collar:
        blend(canvas, part, mix(cloth, BLACK, 0.7), 0.6, 0.006)
        fill(canvas, part, trim)
        blend(canvas, ribbon(closed(part), 0.004, 0.0), mix(trim, BLACK, 0.5), 0.6)
    blend(canvas, ribbon(clothes.seams, 0.005), mix(cloth, BLACK, 0.6), 0.7)


def _paint_head(canvas: Canvas, portrait: Portrait, face: Face) -> None:
    skin = portrait.skin
    shadow, flush = _shadow_of(skin), mix(skin, (214, 70, 60), 0.5)
    fill(canvas, face.ears, mix(skin, flush, 0.35))
    blend(canvas, ribbon(face.ear_folds, 0.012), shadow, 0.7, 0.002)
    fill(canvas, face.head, skin)
    blend(canvas, face.shade, shadow, 0.5, 0.02, within=face.head)
    blend(canvas, face.cheeks, flush, 0.3, 0.016)
    blend(canvas, face.forehead, mix(skin, WHITE, 0.75), 0.32, 0.022)


def _paint_eyes(canvas: Canvas, portrait: Portrait, eyes: Eyes) -> None:
    skin = portrait.skin
    shadow = _shadow_of(skin)
    blend(canvas, eyes.socket, shadow, 0.42, 0.011)
    blend(canvas, ribbon(eyes.crease, 0.006), shadow, 0.7, 0.0015)
    _paint_eyeballs(canvas, portrait, eyes)
    blend(canvas, ribbon(eyes.upper_lid, 0.0085, 0.6), BLACK, 0.85)
    blend(canvas, ribbon(eyes.lower_lid, 0.004), mix(shadow, BLACK, 0.3), 0.7)
    blend(canvas, eyes.brow, mix(BLACK, portrait.hair_colour, 0.75), 0.85, 0.0015)


def _paint_eyeballs(canvas: Canvas, portrait: Portrait, eyes: Eyes) -> None:
    fill(canvas, eyes.ball, (232, 226, 220))
    blend(canvas, eyes.iris, mix(portrait.eye_colour, BLACK, 0.45), 1.0, within=eyes.ball)
    blend(canvas, eyes.iris, portrait.eye_colour, 0.8, 0.003, within=eyes.ball)
    blend(canvas, eyes.pupil, BLACK, 1.0, within=eyes.ball)
    blend(canvas, ribbon(eyes.upper_lid, 0.016), BLACK, 0.5, 0.003, within=eyes.ball)
    blend(canvas, eyes.glint, WHITE, 1.0, within=eyes.ball)


def _paint_nose(canvas: Canvas, portrait: Portrait, nose: Nose) -> None:
    skin = portrait.skin
    shadow = _shadow_of(skin)
    blend(canvas, nose.flank, shadow, 0.42, 0.006)
    blend(canvas, nose.under, shadow, 0.65, 0.006)
    blend(canvas, ribbon(nose.wings, 0.008), shadow, 0.7, 0.002)
    blend(canvas, nose.nostrils, mix(shadow, BLACK, 0.6), 0.85, 0.0015)
    blend(canvas, ribbon(nose.ridge, 0.012), mix(skin, WHITE, 0.8), 0.5, 0.005)


def _paint_beard(canvas: Canvas, portrait: Portrait, beard: Beard) -> None:
    colour = mix(BLACK, portrait.hair_colour, 0.85)
    stubble = portrait.beard == "stubble"
    if beard.masses:
        blend(canvas, beard.masses, colour, 0.3 if stubble else 0.88, 0.01 if stubble else 0.005)
    strokes, opacity = ribbon(beard.strands, 0.005), 0.12 if stubble else 0.6
    blend(canvas, strokes[::2], mix(colour, BLACK, 0.5), opacity)
    blend(canvas, strokes[1::2], mix(colour, WHITE, 0.18), opacity)


def _paint_mouth(canvas: Canvas, portrait: Portrait, face: Face) -> None:
    mouth, skin = face.mouth, portrait.skin
    shadow, lips = _shadow_of(skin), mix(skin, (170, 50, 56), 0.5)
    blend(canvas, ribbon(mouth.creases, 0.01), shadow, 0.25 + 0.4 * max(0.0, portrait.smile), 0.004)
    if portrait.beard != "full":
        blend(canvas, mouth.chin_shadow, shadow, 0.25, 0.008)
    if mouth.teeth is not None:
        fill(canvas, mouth.teeth, (236, 228, 218))
    blend(canvas, mouth.upper, mix(lips, BLACK, 0.16), 0.9, 0.0015)
    blend(canvas, mouth.lower, lips, 0.9, 0.002)
    blend(canvas, ribbon(mouth.line, 0.0075), mix(lips, BLACK, 0.75), 0.9)
    belly = mouth.lower[len(mouth.line) :]
    gloss = belly[len(belly) // 3 : -len(belly) // 3] - (0.0, 0.25 * portrait.lip_fullness * portrait.head_height)
    blend(canvas, ribbon(gloss, 0.008), WHITE, 0.35, 0.003)


def _paint_spectacles(canvas: Canvas, face: Face) -> None:
    if face.spectacles is None:
        return
    rims, bars = face.spectacles.rims, face.spectacles.bars
    frame = (ribbon(closed(rims), 0.009, 0.0), ribbon(bars, 0.009, 0.0))
    blend(canvas, rims, (214, 226, 236), 0.13)
    blend(canvas, frame[0] + np.array((0.0, 0.008)), BROWN, 0.3, 0.003)
    blend(canvas, frame, (28, 26, 30), 0.95)
    blend(canvas, ribbon(rims[:, 18:26] + np.array((0.006, 0.008)), 0.007), WHITE, 0.4, 0.002)


def _add_camera_effects(canvas: Canvas, portrait: Portrait, size: int) -> Uint8Image:
    """Blur like a lens, average down to (size, size, 3) and add sensor noise."""
    image = cv2.GaussianBlur(canvas, (0, 0), LENS_BLUR * len(canvas))
    if len(canvas) != size:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    rng = np.random.Generator(philox(portrait.seed, portrait.index).jumped())  # independent of the attributes
    noise = np.float32(NOISE) * rng.standard_normal((size, size), dtype=np.float32)
    return cv2.add(image, cv2.merge([noise] * 3), dtype=cv2.CV_8U).astype(np.uint8, copy=False)
