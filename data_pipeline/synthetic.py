"""Drawn portraits with exact sketches: the built-in data set, made from (seed, index) and nothing else."""

from core.images import Uint8Image
from data_pipeline.portraits.attributes import describe
from data_pipeline.portraits.lines import trace
from data_pipeline.portraits.photo import paint_photo
from data_pipeline.portraits.sketch import draw_sketch

__all__ = ["describe", "draw_pair"]


def draw_pair(seed: int, index: int, size: int) -> tuple[Uint8Image, Uint8Image]:
    """(photo, sketch) of one portrait, each (size, size, 3) uint8 RGB; `describe(seed, index)` tells who it is.

    The same portrait at every size, and equal arguments give equal bytes.
    """
    lines = trace(describe(seed, index))
    return paint_photo(lines, size), draw_sketch(lines, size)
