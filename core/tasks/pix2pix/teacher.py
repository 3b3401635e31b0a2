"""A trained generator that a smaller one learns from (knowledge distillation: Hinton et al. 2015, arXiv:1503.02531)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from limner.core.bundle import BundleConfig, load_bundle_config, load_generator
from limner.core.config import require


class Teacher:
    """The generator of a bundle, frozen, for photos of a dataset."""

    def __init__(self, bundle: str, styles: Sequence[str], image_size: int, device: torch.device) -> None:
        """Arguments as of `check_teacher`, which UserError comes from."""
        found = check_teacher(bundle, styles, image_size)
        self._generator = load_generator(bundle).to(device)
        numbers = [found.styles.index(style) for style in styles] if found.styles else [0]
        self._numbers = torch.tensor(numbers, device=device)
        """The data's numbers of styles -> the teacher's."""
        self._has_styles = bool(found.styles)

    @torch.no_grad()
    def __call__(self, photo: Tensor, style: Tensor) -> Tensor:
        """Translate photos (N, 3, S, S) in the data's styles (N,) int64: sketches (N, 3, S, S), fp32 in [-1, 1]."""
        sketch: Tensor = self._generator(photo, self._numbers[style] if self._has_styles else None)
        return sketch.float()


def check_teacher(bundle: str, styles: Sequence[str], image_size: int) -> BundleConfig:
    """Read a teacher's config; UserError unless it translates photos of the run's size in all styles of its data.

    styles: names of the data's, by number; a teacher without styles fits any.
    """
    found = load_bundle_config(bundle)
    source, output = found.signature.inputs[0], found.signature.output
    require(
        source.name == "photo" and source.shape[0] == output.shape[0] == 3,
        f"distill-from {bundle}: it makes {output.shape[0]} channels of {source.name}s, needed is RGB of RGB photos",
    )
    require(
        found.image_size == image_size,
        f"distill-from {bundle}: it translates at image-size {found.image_size}, the run at {image_size}",
    )
    missing = [style for style in styles if style not in found.styles]
    require(
        not found.styles or (bool(styles) and not missing),
        f"distill-from {bundle}: it has the styles {', '.join(found.styles)}, not the data's "
        f"{', '.join(missing) or '(which has no names of styles)'}: they must match by name",
    )
    return found
