"""Any photo through squares and back: sizes, seams, batches, styles, and every kind of input."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from limner.core.batch import to_tensor
from limner.core.config import Fit
from limner.core.images import Uint8Image
from limner.core.signature import Port, Signature
from limner.core.util.errors import UserError
from limner.data_pipeline.images import Box, resize
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.engine import Engine
from limner.deploy.manifest import Source
from limner.deploy.translation import Mode, Translator, paste_on_paper, translate_fitted, translate_tiled


def negative(squares: Iterable[Uint8Image]) -> Iterator[Uint8Image]:
    """A generator whose result at a pixel depends on that pixel alone."""
    return (np.asarray(255 - square) for square in squares)


def identity(squares: Iterable[Uint8Image]) -> Iterable[Uint8Image]:
    return squares


def portrait(height: int, width: int, rng: np.random.Generator) -> Uint8Image:
    """A smooth image, which survives resizing."""
    return resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), width, height)


class Darkener:
    """A runtime of uint8 images: 255 - image, minus the style's number."""

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
        style = inputs.get("style", np.zeros(len(inputs["photo"]), np.int64))
        result: Uint8Image = (255 - inputs["photo"] - style[:, None, None, None]).astype(np.uint8)
        return result

    def close(self) -> None:
        pass


def darkener(styles: tuple[str, ...] = (), fit: Fit = "stretch", channels: int = 3) -> Translator:
    """A translator of 64 pixels on it."""
    image = Port("photo", (64, 64, channels), "uint8")
    signature = Signature((image, *[Port("style", (), "int64")] * bool(styles)), image, len(styles))
    source = Source("0" * 64, "pix2pix", 64, fit, styles)
    return Translator(Engine("darkener", signature, BatchProfile(1, 2, 4), Darkener(), source))


@pytest.mark.parametrize("shape", [(64, 64), (200, 150), (33, 257), (1, 90)])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_results_have_the_photos_own_size(shape: tuple[int, int], fit: Fit, rng: np.random.Generator) -> None:
    (sketch,) = translate_fitted([portrait(*shape, rng)], negative, 64, fit)
    side = min(shape)
    assert sketch.shape == ((side, side, 3) if fit == "crop" else (*shape, 3))


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_what_goes_in_comes_back_at_its_place(fit: Fit, rng: np.random.Generator) -> None:
    photo = portrait(90, 120, rng)
    (same,) = translate_fitted([photo], identity, 64, fit)
    assert np.abs(same.astype(int) - photo).mean() < 4


def test_results_do_not_depend_on_the_other_photos(rng: np.random.Generator) -> None:
    photos = [portrait(50 + i, 80 - i, rng) for i in range(5)]
    together = translate_fitted(photos, negative, 32, "pad")
    for photo, sketch in zip(photos, together, strict=True):
        np.testing.assert_array_equal(translate_fitted([photo], negative, 32, "pad")[0], sketch)


@pytest.mark.parametrize("shape", [(64, 64), (65, 64), (150, 97), (64, 300)])
def test_tiles_of_a_pixelwise_generator_leave_no_seam(shape: tuple[int, int], rng: np.random.Generator) -> None:
    photo = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    np.testing.assert_array_equal(translate_tiled(photo, negative, 64), 255 - photo)


def test_a_photo_smaller_than_a_tile_is_enlarged_and_reduced_again(rng: np.random.Generator) -> None:
    photo = portrait(40, 30, rng)
    sketch = translate_tiled(photo, identity, 64)
    assert sketch.shape == photo.shape
    assert np.abs(sketch.astype(int) - photo).mean() < 4


@pytest.mark.parametrize("batch_size", [1, 3])
def test_modes_give_what_their_functions_give(batch_size: int, rng: np.random.Generator) -> None:
    photos, translator = [portrait(90, 70, rng), portrait(64, 64, rng), portrait(70, 200, rng)], darkener(fit="pad")
    fits: dict[Mode, Fit] = {"model": "pad", "stretch": "stretch", "pad": "pad", "crop": "crop"}
    for mode, fit in fits.items():
        expected = translate_fitted(photos, negative, 64, fit)
        for sketch, other in zip(translator.translate(photos, None, mode, batch_size), expected, strict=True):
            np.testing.assert_array_equal(sketch, other)
    tiled = translator.translate(photos, mode="tile", batch_size=batch_size)
    for photo, sketch in zip(photos, tiled, strict=True):
        np.testing.assert_array_equal(sketch, 255 - photo)


def test_an_image_may_be_anything_that_holds_one(tmp_path: Path, rng: np.random.Generator) -> None:
    array = portrait(50, 40, rng)
    path = tmp_path / "photo.png"
    Image.fromarray(array).save(path)
    inputs: list[Any] = [path, str(path), Image.open(path), array, to_tensor(array[None])[0]]
    translator = darkener()
    single = [translator(image) for image in inputs]
    for sketch in [*single, *translator(inputs), *translator(tuple(inputs), batch_size=2)]:
        assert isinstance(sketch, Image.Image)
        assert sketch.size == (40, 50)
        np.testing.assert_array_equal(np.asarray(sketch), np.asarray(single[0]))
    assert translator([]) == []


def test_styles_are_chosen_by_name_or_number(rng: np.random.Generator) -> None:
    photo, translator = portrait(64, 64, rng) // 2, darkener(("ink", "chalk", "7"))
    choices: list[tuple[Any, int]] = [("ink", 0), ("chalk", 1), ("7", 2), (1, 1), ("1", 1), (np.int64(2), 2)]
    for style, number in choices:
        np.testing.assert_array_equal(np.asarray(translator(photo, style=style)), 255 - photo - number)


@pytest.mark.parametrize("style", [True, 1.0, -1, 3, "3", "-1", "Ink", "", "²", np.True_])
def test_other_styles_are_refused(style: Any, rng: np.random.Generator) -> None:
    with pytest.raises(UserError, match=r"style .*: must be one of 0 \(ink\), 1 \(chalk\), 2 \(7\)"):
        darkener(("ink", "chalk", "7"))(portrait(64, 64, rng), style=style)


def test_missing_and_superfluous_styles_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(UserError, match=r"no style given: choose one of 0 \(ink\)"):
        darkener(("ink",))(portrait(64, 64, rng))
    with pytest.raises(UserError, match="style 0: darkener was trained without styles, leave it out"):
        darkener()(portrait(64, 64, rng), style=0)


def test_other_options_are_refused(rng: np.random.Generator) -> None:
    photo: Any = portrait(64, 64, rng)
    with pytest.raises(UserError, match="mode 'fast': must be one of model, stretch, pad, crop, tile"):
        darkener()(photo, mode="fast")  # type: ignore[call-overload]
    for given in (photo, [photo]):
        with pytest.raises(UserError, match="batch-size 0: must be at least 1"):
            darkener()(given, batch_size=0)


def test_a_generator_of_one_channel_takes_and_gives_rgb(rng: np.random.Generator) -> None:
    grey = np.repeat(portrait(64, 64, rng)[..., :1], 3, axis=2)
    np.testing.assert_array_equal(np.asarray(darkener(channels=1)(grey)), 255 - grey)


def test_a_translator_says_what_it_is_and_closes() -> None:
    with darkener(("ink", "chalk")) as translator:
        assert repr(translator) == "Translator('darkener', image_size=64, styles=('ink', 'chalk'))"
        assert (translator.styles, translator.image_size) == (("ink", "chalk"), 64)
    assert repr(darkener()) == "Translator('darkener', image_size=64)"


def test_tensors_need_no_copy_of_torch_to_be_refused() -> None:
    with pytest.raises(UserError, match=r"got a tensor of \(1, 3, 8, 8\) torch.float32: give \(3, H, W\) float"):
        darkener()(torch.zeros(1, 3, 8, 8))


def test_parts_are_translated_as_if_they_were_photos(rng: np.random.Generator) -> None:
    photos = [portrait(90, 120, rng), portrait(70, 70, rng)]
    box = Box(20, 10, 64, 64)
    translator = darkener()
    cut, whole = translator.translate(photos, parts=[[box, Box(0, 0, 5, 5)], []])
    np.testing.assert_array_equal(cut, translator.translate([box.crop(photos[0])])[0])
    np.testing.assert_array_equal(whole, translator.translate(photos[1:])[0], "no part: the whole photo")


def test_pasted_drawings_fade_into_white_paper_of_the_photos_size(rng: np.random.Generator) -> None:
    photo, boxes = portrait(100, 160, rng), [Box(0, 0, 80, 80), Box(90, 20, 60, 60)]
    (page,) = darkener().translate([photo], parts=[boxes], paste=True)
    assert page.shape == photo.shape
    np.testing.assert_array_equal(page[85:, :85], 255)
    for box in boxes:
        drawing = darkener().translate([box.crop(photo)])[0]
        rows, columns = (slice(side // 3, side // 2) for side in (box.height, box.width))
        np.testing.assert_array_equal(box.crop(page)[rows, columns], drawing[rows, columns])
    top_left = darkener().translate([boxes[0].crop(photo)])[0][0, 0]
    np.testing.assert_array_equal(page[0, 0], top_left, "the edge of the paper is no edge to fade at")
    assert page[20, 91:149].min() > 240, "elsewhere an edge has faded"


def test_where_pasted_drawings_meet_the_darker_wins() -> None:
    dark, light = np.zeros((10, 10, 3), np.uint8), np.full((10, 10, 3), 200, np.uint8)
    box = Box(0, 0, 10, 10)
    page = paste_on_paper((10, 10), [box, box], [dark, light])
    np.testing.assert_array_equal(page, 0)


def test_a_face_is_drawn_alone_if_asked_for() -> None:
    photo, translator = astronaut(), darkener()
    assert translator(photo).size == (512, 512)
    width, height = translator(photo, face="auto").size
    assert width == height < 256
    assert translator([photo], face="auto", paste=True)[0].size == (512, 512)
    with pytest.raises(UserError, match="face 'all': must be one of auto, off"):
        translator(photo, face="all")  # type: ignore[call-overload]


def test_what_cannot_be_pasted_is_refused() -> None:
    with pytest.raises(UserError, match="give face='auto'"):
        darkener()(astronaut(), paste=True)
    with pytest.raises(UserError, match="leave out --mode crop"):
        darkener()(astronaut(), face="auto", paste=True, mode="crop")
