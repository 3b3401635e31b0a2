"""Synthetic portraits with exact sketches: the built-in dataset, a pure function of (seed, index)."""

from limner.core.images import Uint8Image
from limner.data_pipeline.synthetic.attributes import sample_portrait
from limner.data_pipeline.synthetic.lines import trace
from limner.data_pipeline.synthetic.photo import render_photo
from limner.data_pipeline.synthetic.sketch import render_sketch

__all__ = ["render_pair", "sample_portrait"]


def render_pair(seed: int, index: int, size: int) -> tuple[Uint8Image, Uint8Image]:
    """Render (photo, sketch) of the portrait `sample_portrait(seed, index)`, each (size, size, 3) uint8 RGB.

    It is the same portrait at every size, and equal arguments give equal bytes.
    """
    lines = trace(sample_portrait(seed, index))
    return render_photo(lines, size), render_sketch(lines, size)
