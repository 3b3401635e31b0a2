"""Drawn portraits with exact sketches: the built-in data set, made from (seed, index) and nothing else."""

from limner.core.images import Uint8Image
from limner.data_pipeline.synthetic.attributes import describe
from limner.data_pipeline.synthetic.lines import trace
from limner.data_pipeline.synthetic.photo import paint_photo
from limner.data_pipeline.synthetic.sketch import draw_sketch

__all__ = ["describe", "draw_pair"]


def draw_pair(seed: int, index: int, size: int) -> tuple[Uint8Image, Uint8Image]:
    """(photo, sketch) of one portrait, each (size, size, 3) uint8 RGB; `describe(seed, index)` tells who it is.

    The same portrait at every size, and equal arguments give equal bytes.
    """
    lines = trace(describe(seed, index))
    return paint_photo(lines, size), draw_sketch(lines, size)
