"""Pictures side by side under titles: what training, translate and evaluate show people."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from limner.core.images import Uint8Image
from limner.core.util.files import atomic_write

CELL_SIDES = (128, 256)
"""Longest side in pixels: smaller pictures are enlarged by a whole factor, larger ones are shrunk."""
GAP, GROUP_GAP, MARGIN = 4, 20, 12
ASPECT = 4 / 3
"""Width over height that a sheet comes as near to as its number of rows allows."""
PAGE, INK = (236, 236, 232), (40, 40, 40)
ELLIPSIS = "..."


def comparison_sheet(columns: Mapping[str, Sequence[Uint8Image]], captions: Sequence[str] | None = None) -> Uint8Image:
    """One row per subject and one titled column per kind of picture, as one (H, W, 3) uint8 picture.

    columns: title -> pictures, (h, w, 3) uint8 of any sizes; all columns are equally long.
    captions: a line under each row. Many rows wrap into several groups side by side.
    """
    rows = list(zip(*([_fit_cell(image) for image in images] for images in columns.values()), strict=True))
    if not rows:
        raise ValueError("a sheet needs at least one row of pictures")
    cell_width = max(image.width for row in rows for image in row)
    cell_height = max(image.height for row in rows for image in row)
    font = ImageFont.load_default(size=max(11, cell_width // 14))
    line = math.ceil(sum(font.getmetrics()) * 1.2) if isinstance(font, ImageFont.FreeTypeFont) else 14
    row_height = cell_height + GAP + (line if captions else 0)
    group_width = len(columns) * (cell_width + GAP) - GAP
    per_group = _rows_per_group(len(rows), group_width + GROUP_GAP, row_height)
    groups = math.ceil(len(rows) / per_group)

    width = 2 * MARGIN + groups * (group_width + GROUP_GAP) - GROUP_GAP
    height = 2 * MARGIN + line + per_group * row_height - GAP
    page = Image.new("RGB", (width, height), PAGE)
    draw = ImageDraw.Draw(page)
    for index, row in enumerate(rows):
        group, place = divmod(index, per_group)
        left = MARGIN + group * (group_width + GROUP_GAP)
        top = MARGIN + line + place * row_height
        for column, (title, image) in enumerate(zip(columns, row, strict=True)):
            x = left + column * (cell_width + GAP)
            if place == 0:
                draw.text((x, MARGIN), _shortened(title, font, cell_width), INK, font)
            page.paste(image, (x + (cell_width - image.width) // 2, top + (cell_height - image.height) // 2))
        if captions:
            draw.text((left, top + cell_height), _shortened(captions[index], font, group_width), INK, font)
    return np.asarray(page)


def tiles(images: Sequence[Uint8Image]) -> Uint8Image:
    """Pictures of one size, (h, w, 3) uint8, in a square without titles; what is left over stays page-coloured."""
    columns = math.ceil(math.sqrt(len(images)))
    height, width = images[0].shape[:2]
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), PAGE, np.uint8)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def save_png(path: Path, image: Uint8Image) -> None:
    """Write (H, W, 3) uint8 RGB as PNG, aside first, so that an older file is replaced whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as aside:
        Image.fromarray(image).save(aside, format="PNG")


def _fit_cell(image: Uint8Image) -> Image.Image:
    """The picture in a size that can be looked at, with its aspect."""
    picture = Image.fromarray(image)
    smallest, largest = CELL_SIDES
    side = max(picture.size)
    if side < smallest:
        factor = math.ceil(smallest / side)
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    if side > largest:
        size = (max(1, round(picture.width * largest / side)), max(1, round(picture.height * largest / side)))
        return picture.resize(size, Image.Resampling.LANCZOS)
    return picture


def _rows_per_group(rows: int, group_width: int, row_height: int) -> int:
    """How many rows to put under each other so that the sheet comes nearest to ASPECT with evenly filled groups."""

    def distance(per_group: int) -> float:
        groups = math.ceil(rows / per_group)
        empty = groups * per_group / rows
        return abs(math.log(groups * group_width / (per_group * row_height) / ASPECT)) + math.log(empty)

    return min(range(1, rows + 1), key=distance)


def _shortened(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """`text`, cut at its end to `width` pixels."""
    if font.getlength(text) <= width:
        return text
    kept = len(text)
    while kept and font.getlength(text[:kept] + ELLIPSIS) > width:
        kept -= 1
    return text[:kept] + ELLIPSIS
