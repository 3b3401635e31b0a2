"""Images side by side under titles, for people: sample grids, comparisons, reports."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from limner.core.images import Uint8Image
from limner.core.util.files import atomic_write

CELL_SIDES = (128, 256)
"""Range of a cell's longer side in pixels: smaller images are enlarged by an integer factor, larger ones shrunk."""
GAP, GROUP_GAP, MARGIN = 4, 20, 12
"""Pixels between images, between groups of columns, and around the grid."""
ASPECT = 4 / 3
"""Width over height that a grid approximates."""
BACKGROUND, TEXT = (236, 236, 232), (40, 40, 40)
ELLIPSIS = "..."


def comparison_grid(columns: Mapping[str, Sequence[Uint8Image]], captions: Sequence[str] | None = None) -> Uint8Image:
    """Arrange images as one titled column per kind and one row per subject; returns (H, W, 3) uint8.

    columns: title -> images, (h, w, 3) uint8 of any sizes; all columns have the same length.
    captions: a line of text below each row. Many rows wrap into several groups side by side.
    """
    rows = list(zip(*([_fit_cell(image) for image in images] for images in columns.values()), strict=True))
    if not rows:
        raise ValueError("a grid needs at least one row of images")
    cell_width = max(image.width for row in rows for image in row)
    cell_height = max(image.height for row in rows for image in row)
    font = ImageFont.load_default(size=max(11, cell_width // 14))
    line = math.ceil(sum(font.getmetrics()) * 1.2) if isinstance(font, ImageFont.FreeTypeFont) else 14
    row_height = cell_height + GAP + (GAP + line if captions else 0)
    group_width = len(columns) * (cell_width + GAP) - GAP
    per_group = _rows_per_group(len(rows), group_width + GROUP_GAP, row_height)
    groups = math.ceil(len(rows) / per_group)

    width = 2 * MARGIN + groups * (group_width + GROUP_GAP) - GROUP_GAP
    height = 2 * MARGIN + line + per_group * row_height - GAP
    grid = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(grid)
    for index, row in enumerate(rows):
        group, place = divmod(index, per_group)
        left = MARGIN + group * (group_width + GROUP_GAP)
        top = MARGIN + line + place * row_height
        for column, (title, image) in enumerate(zip(columns, row, strict=True)):
            x = left + column * (cell_width + GAP)
            if place == 0:
                draw.text((x, MARGIN), _shortened(title, font, cell_width), TEXT, font)
            grid.paste(image, (x + (cell_width - image.width) // 2, top + (cell_height - image.height) // 2))
        if captions:
            draw.text((left, top + cell_height + GAP // 2), _shortened(captions[index], font, group_width), TEXT, font)
    return np.asarray(grid)


def make_grid(images: Sequence[Uint8Image]) -> Uint8Image:
    """Arrange images of one size, (h, w, 3) uint8, row by row in a near-square without titles; returns (H, W, 3)."""
    columns = math.ceil(math.sqrt(len(images)))
    height, width = images[0].shape[:2]
    rows = math.ceil(len(images) / columns)
    grid = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        grid[top : top + height, left : left + width] = image
    return grid


def save_png(path: Path, image: Uint8Image) -> None:
    """Write (H, W, 3) uint8 RGB as PNG, atomically; parents are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as tmp_path:
        Image.fromarray(image).save(tmp_path, format="PNG")


def _fit_cell(image: Uint8Image) -> Image.Image:
    """Resize to a side within CELL_SIDES, keeping the aspect ratio."""
    cell = Image.fromarray(image)
    smallest, largest = CELL_SIDES
    side = max(cell.size)
    if side < smallest:
        factor = math.ceil(smallest / side)
        return cell.resize((cell.width * factor, cell.height * factor), Image.Resampling.NEAREST)
    if side > largest:
        size = (max(1, round(cell.width * largest / side)), max(1, round(cell.height * largest / side)))
        return cell.resize(size, Image.Resampling.LANCZOS)
    return cell


def _rows_per_group(rows: int, group_width: int, row_height: int) -> int:
    """Choose the rows of a group so that the grid comes closest to ASPECT with evenly filled groups."""

    def distance(per_group: int) -> float:
        groups = math.ceil(rows / per_group)
        empty = groups * per_group / rows
        return abs(math.log(groups * group_width / (per_group * row_height) / ASPECT)) + math.log(empty)

    return min(range(1, rows + 1), key=distance)


def _shortened(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """Cut `text` at its end to `width` pixels."""
    if font.getlength(text) <= width:
        return text
    kept = len(text)
    while kept and font.getlength(text[:kept] + ELLIPSIS) > width:
        kept -= 1
    return text[:kept] + ELLIPSIS
