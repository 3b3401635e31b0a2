"""Find the faces of a photo, and the parts of it that look like the portraits that models are trained on.

OpenCV's Haar cascades of frontal faces (Viola and Jones 2001) come with OpenCV 4. The one used here, on photos of
full size, found all faces of CUHK and AR and all but 44 of FS2K's 1,580. The constants follow from those faces.
"""

from functools import cache
from pathlib import Path

import cv2

from limner.core.images import Uint8Image
from limner.data_pipeline.images import Box, resize

FACE_HEIGHT, FACE_CENTRE = 0.58, 0.54
"""Of a portrait: the height of its face, and where the middle of the face is from the top, as parts of its height."""
TIGHT = 0.35
"""A face of at least this part of a photo's shorter side makes the photo a portrait already, as nearly all training
photos are: the smallest are 0.57 of CUHK, 0.59 of AR, and 0.24 of FS2K."""
SEARCH_SIDE = 480
"""Pixels to which the longer side is reduced for the search."""
SMALLEST = 1 / 12
"""Smallest face that is searched for, as a part of the shorter side."""
SECONDARY = 0.4
"""Faces smaller than this part of the largest are taken for errors, or for people in the background."""
MIN_NEIGHBOURS = 5
"""Overlapping finds that make a face."""


@cache
def _cascade() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"))


def find_faces(photo: Uint8Image) -> list[Box]:
    """Find upright frontal faces in a photo (H, W, 3) uint8 RGB, the largest first."""
    height, width = photo.shape[:2]
    scale = min(1.0, SEARCH_SIDE / max(height, width))
    small = resize(photo, max(1, round(width * scale)), max(1, round(height * scale)))
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    smallest = max(1, round(min(grey.shape) * SMALLEST))
    found = _cascade().detectMultiScale(
        grey, scaleFactor=1.1, minNeighbors=MIN_NEIGHBOURS, minSize=(smallest, smallest)
    )
    back = width / small.shape[1], height / small.shape[0]
    faces = [Box(*(int(value) for value in face)).scaled(*back) for face in found]
    return sorted(faces, key=lambda face: (-face.width, face.left, face.top))


def find_portraits(photo: Uint8Image, every: bool = False) -> list[Box]:
    """Choose the square around the largest face of a photo (H, W, 3), or around each; none if there is no face.

    A photo that is a portrait already is taken whole.
    """
    height, width = photo.shape[:2]
    faces = find_faces(photo)
    if faces and faces[0].height >= TIGHT * min(height, width):
        return [Box(0, 0, width, height)]
    chosen = [face for face in faces if face.height >= SECONDARY * faces[0].height] if every else faces[:1]
    return [_portrait_around(face, width, height) for face in chosen]


def _portrait_around(face: Box, width: int, height: int) -> Box:
    """A square in which the face lies as in the training portraits, moved and cut so that it is within the photo."""
    side = min(round(face.height / FACE_HEIGHT), width, height)
    left = round(face.left + face.width / 2 - side / 2)
    top = round(face.top + face.height / 2 - side * FACE_CENTRE)
    return Box(min(max(left, 0), width - side), min(max(top, 0), height - side), side, side)
