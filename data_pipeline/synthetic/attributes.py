"""The attributes of one synthetic portrait, sampled from (seed, index)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

HairStyle = Literal["bald", "short", "parted", "fringe", "long", "bun", "curly"]
Beard = Literal["none", "stubble", "moustache", "goatee", "full"]
Glasses = Literal["none", "round", "square"]
Collar = Literal["crew", "vee", "turtle", "shirt"]

HAIR_STYLES: tuple[HairStyle, ...] = ("bald", "short", "parted", "fringe", "long", "bun", "curly")
BEARDS: tuple[Beard, ...] = ("none", "stubble", "moustache", "goatee", "full")
COLLARS: tuple[Collar, ...] = ("crew", "vee", "turtle", "shirt")
BEARDED_HAIR: tuple[HairStyle, ...] = ("bald", "short", "parted", "curly")

SKINS: tuple[Colour, ...] = (
    (250, 220, 198),
    (240, 200, 172),
    (228, 182, 148),
    (208, 158, 120),
    (178, 126, 90),
    (140, 94, 66),
    (104, 68, 50),
)
HAIRS: tuple[Colour, ...] = (
    (30, 26, 26),
    (52, 36, 28),
    (86, 56, 36),
    (122, 66, 36),
    (158, 116, 66),
    (206, 170, 110),
    (168, 166, 164),
)
EYES: tuple[Colour, ...] = ((70, 44, 26), (96, 66, 36), (92, 104, 58), (70, 104, 140), (110, 122, 128))
CLOTHES: tuple[Colour, ...] = (
    (46, 58, 84),
    (128, 44, 48),
    (54, 92, 78),
    (196, 186, 170),
    (70, 72, 78),
    (208, 160, 66),
    (104, 130, 168),
    (92, 66, 96),
)
BACKDROPS: tuple[Colour, ...] = (
    (176, 190, 204),
    (206, 198, 184),
    (130, 142, 138),
    (170, 150, 160),
    (196, 206, 190),
    (110, 122, 146),
    (216, 214, 212),
)

STYLE_COUNT = 3


@dataclass(frozen=True)
class Portrait:
    """One portrait, independent of its size in pixels.

    Lengths "of the side" are fractions of the image side. The others are in head units: half the head's width
    horizontally, half its height vertically. Angles are in radians.
    """

    seed: int
    index: int
    style: int
    """The pencil: 0 fine outline, 1 hatched, 2 dark and soft with shading."""

    centre: tuple[float, float]
    """Centre of the head, of the side, from the left and from the top."""
    head_width: float
    """Half the head's width, of the side."""
    head_height: float
    """Half the head's height, of the side."""
    jaw: float
    chin: float
    tilt: float
    """Rotation in the image plane, clockwise."""
    turn: float
    """Rotation about the vertical axis; positive looks to the image's right."""
    nod: float
    """Rotation about the axis through the ears; positive looks down."""

    skin: Colour
    eye_spacing: float
    eye_width: float
    eye_open: float
    eye_colour: Colour
    gaze: tuple[float, float]
    brow_height: float
    brow_weight: float
    brow_slant: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_fullness: float
    smile: float
    """-0.3 (sullen) to 1 (broad smile); above 0.45 the teeth are visible."""
    hair: HairStyle
    hair_colour: Colour
    hair_volume: float
    hair_length: float
    """How far the hair hangs, in half head heights below the centre of the head."""
    parting: float
    """Position of the parting, 0 left to 1 right."""
    beard: Beard
    glasses: Glasses
    collar: Collar
    clothes: Colour
    backdrop: tuple[Colour, Colour]
    light: float
    """Direction of the light: -1 left to 1 right, never from the front."""


def _sample_colour(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """Sample a colour between two neighbours of a palette."""
    position = rng.uniform(0.0, len(colours) - 1.0)
    low = int(position)
    first, second = np.array(colours[low]), np.array(colours[min(low + 1, len(colours) - 1)])
    red, green, blue = np.round(first + (second - first) * (position - low)).astype(int).tolist()
    return red, green, blue


def philox(seed: int, index: int) -> np.random.Philox:
    """Open the RNG stream of a portrait."""
    return np.random.Philox(key=np.array([seed, index], dtype=np.uint64))


def sample_portrait(seed: int, index: int) -> Portrait:
    """Sample portrait `index` of the set `seed`, both at least 0; equal arguments give equal portraits."""
    rng = np.random.Generator(philox(seed, index))

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def sign() -> float:
        return float(rng.choice((-1.0, 1.0)))

    hair = HAIR_STYLES[rng.choice(len(HAIR_STYLES), p=(0.08, 0.2, 0.16, 0.14, 0.18, 0.1, 0.14))]
    beard = BEARDS[rng.choice(len(BEARDS), p=(0.48, 0.16, 0.1, 0.1, 0.16))]
    head_width = uniform(0.185, 0.215)
    turn = uniform(-0.34, 0.34)
    backdrop = BACKDROPS[rng.integers(len(BACKDROPS))]
    brightness = uniform(0.55, 0.85)
    return Portrait(
        seed=seed,
        index=index,
        style=int(rng.integers(STYLE_COUNT)),
        centre=(0.5 + uniform(-0.035, 0.035), 0.48 + uniform(-0.02, 0.02)),
        head_width=head_width,
        head_height=head_width * uniform(1.28, 1.42),
        jaw=uniform(0.7, 0.86),
        chin=uniform(0.26, 0.4),
        tilt=uniform(-0.13, 0.13),
        turn=turn,
        nod=uniform(-0.1, 0.1),
        skin=_sample_colour(rng, SKINS),
        eye_spacing=uniform(0.38, 0.43),
        eye_width=uniform(0.19, 0.225),
        eye_open=uniform(0.07, 0.115),
        eye_colour=_sample_colour(rng, EYES),
        gaze=(float(np.clip(turn + uniform(-0.4, 0.4), -0.5, 0.5)), uniform(-0.25, 0.25)),
        brow_height=uniform(0.16, 0.22),
        brow_weight=uniform(0.022, 0.05),
        brow_slant=uniform(-0.03, 0.05),
        nose_width=uniform(0.17, 0.245),
        nose_length=uniform(0.36, 0.45),
        mouth_width=uniform(0.29, 0.38),
        lip_fullness=uniform(0.04, 0.085),
        smile=uniform(-0.3, 1.0),
        hair=hair,
        hair_colour=_sample_colour(rng, HAIRS),
        hair_volume=uniform(0.08, 0.2),
        hair_length=uniform(0.95, 2.0),
        parting=0.5 + sign() * uniform(0.12, 0.24),
        beard=beard if hair in BEARDED_HAIR else "none",
        glasses=("none", "round", "square")[rng.choice(3, p=(0.64, 0.18, 0.18))],
        collar=COLLARS[rng.integers(len(COLLARS))],
        clothes=CLOTHES[rng.integers(len(CLOTHES))],
        backdrop=(backdrop, _scale(backdrop, brightness)),
        light=sign() * uniform(0.4, 0.95),
    )


def _scale(colour: Colour, factor: float) -> Colour:
    red, green, blue = (round(min(255.0, channel * factor)) for channel in colour)
    return red, green, blue
