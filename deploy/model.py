"""What Translator and Sampler share: an opened generator, its styles, and batches of the sizes that it takes."""

from collections.abc import Iterable, Iterator
from itertools import islice
from numbers import Integral
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from limner.core.images import Uint8Image, to_uint8
from limner.core.util.errors import UserError
from limner.deploy.engine import Engine

Self = TypeVar("Self", bound="Model")


class Model:
    """A generator from a model bundle or an engine directory; a context manager."""

    def __init__(self, engine: Engine) -> None:
        """engine: is closed with the model."""
        assert engine.source is not None
        self.engine = engine
        self.name = engine.name
        """The directory that it was opened from."""
        self.source = engine.source
        self.image_size = engine.source.image_size
        """Side in pixels of the generator's square images."""
        self.styles = engine.source.styles
        """Names of the styles, by number; empty if the generator has none."""
        self.closed = False

    def style_number(self, style: str | int) -> int:
        """Resolve the name or number of a style; UserError for any other value."""
        if not self.styles:
            raise UserError(f"style {style!r}: {self.name} was trained without styles, leave it out")
        if isinstance(style, str):
            if style in self.styles:
                return self.styles.index(style)
            number = int(style) if style.isdecimal() else None
        else:
            number = int(style) if is_integer(style) else None
        if number is None or not 0 <= number < len(self.styles):
            raise UserError(f"style {style!r}: must be one of {self._allowed_styles()}")
        return number

    def _allowed_styles(self) -> str:
        return ", ".join(f"{number} ({name})" for number, name in enumerate(self.styles))

    def infer(
        self, inputs: Iterable[npt.NDArray[Any]], batch_size: int, styles: Iterable[int] | None = None
    ) -> Iterator[Uint8Image]:
        """Generate an image (S, S, 3) uint8 for each input, in order; at most a batch is held at a time.

        inputs: (S, S, C) uint8 photos or (Z,) float32 latents. styles: a number for each, of a generator with styles.
        batch_size: is brought into the engine's batch profile; a batch that is too small is padded with copies.
        """
        if self.closed:
            raise UserError(f"{self.name}: is closed, load it again")
        if batch_size < 1:
            raise UserError(f"batch-size {batch_size}: must be at least 1")
        profile = self.engine.batch
        size = min(max(batch_size, profile.minimum), profile.maximum)
        stream, numbers = iter(inputs), None if styles is None else iter(styles)
        while batch := list(islice(stream, size)):
            padding = max(0, profile.minimum - len(batch))
            style = None if numbers is None else np.array(list(islice(numbers, len(batch))), np.int64)
            if style is not None:
                style = np.pad(style, (0, padding), mode="edge")
            output = self.engine.infer(np.stack(batch + batch[-1:] * padding), style)
            yield from _to_rgb(output[: len(batch)])

    def close(self) -> None:
        """Release memory and handles; a second time does nothing."""
        if not self.closed:
            self.closed = True
            self.engine.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        styles = f", styles={self.styles}" if self.styles else ""
        return f"{type(self).__name__}({self.name!r}, image_size={self.image_size}{styles})"


def is_integer(value: object) -> bool:
    """Whether it is an int, also one of numpy's, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _to_rgb(images: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """(N, C, H, W) float in [-1, 1] or (N, H, W, C) uint8, C = 1 or 3 -> (N, H, W, 3) uint8."""
    pixels = images if images.dtype == np.uint8 else to_uint8(images)
    return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels
