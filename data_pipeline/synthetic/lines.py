"""All curves of one portrait, computed once for both the photo and the sketch."""

from dataclasses import dataclass

from limner.data_pipeline.synthetic.attributes import Portrait
from limner.data_pipeline.synthetic.curves import Pose
from limner.data_pipeline.synthetic.geometry import Face, trace_face
from limner.data_pipeline.synthetic.hair import Beard, Clothes, Hair, trace_beard, trace_clothes, trace_hair


@dataclass(frozen=True)
class Lines:
    """A portrait's curves in image coordinates, the same at every size."""

    portrait: Portrait
    face: Face
    hair: Hair
    beard: Beard
    clothes: Clothes


def trace(portrait: Portrait) -> Lines:
    """Compute the portrait's curves."""
    pose = Pose(portrait)
    return Lines(portrait, trace_face(pose), trace_hair(pose), trace_beard(pose), trace_clothes(pose))
