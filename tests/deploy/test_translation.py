"""Any picture through squares and back: sizes, seams, batches and names."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from limner.core.config import Fit
from limner.core.util.errors import UserError
from limner.data_pipeline.images import resize
from limner.deploy.translation import find_pictures, translate, translate_tiled

Pixels = npt.NDArray[np.uint8]


def negative(squares: Pixels) -> Pixels:
    """A generator whose result at a pixel depends on that pixel alone."""
    return np.asarray(255 - squares)


def identity(squares: Pixels) -> Pixels:
    return squares


def portrait(height: int, width: int, rng: np.random.Generator) -> Pixels:
    """A smooth picture, which survives resizing."""
    return resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), width, height)


@pytest.mark.parametrize("shape", [(64, 64), (200, 150), (33, 257), (1, 90)])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_results_have_the_pictures_own_size(shape: tuple[int, int], fit: Fit, rng: np.random.Generator) -> None:
    (sketch,) = translate([portrait(*shape, rng)], negative, 64, fit)
    side = min(shape)
    assert sketch.shape == ((side, side, 3) if fit == "crop" else (*shape, 3))


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_what_goes_in_comes_back_at_its_place(fit: Fit, rng: np.random.Generator) -> None:
    picture = portrait(90, 120, rng)
    (same,) = translate([picture], identity, 64, fit)
    assert np.abs(same.astype(int) - picture).mean() < 4


def test_results_do_not_depend_on_company(rng: np.random.Generator) -> None:
    pictures = [portrait(50 + i, 80 - i, rng) for i in range(5)]
    together = translate(pictures, negative, 32, "pad")
    for picture, sketch in zip(pictures, together, strict=True):
        np.testing.assert_array_equal(translate([picture], negative, 32, "pad")[0], sketch)


@pytest.mark.parametrize("shape", [(64, 64), (65, 64), (150, 97), (64, 300)])
@pytest.mark.parametrize("batch", [1, 3])
def test_tiles_of_a_pixelwise_generator_leave_no_seam(
    shape: tuple[int, int], batch: int, rng: np.random.Generator
) -> None:
    picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    np.testing.assert_array_equal(translate_tiled(picture, negative, 64, batch), 255 - picture)


def test_a_picture_smaller_than_a_tile_is_enlarged_and_reduced_again(rng: np.random.Generator) -> None:
    picture = portrait(40, 30, rng)
    sketch = translate_tiled(picture, identity, 64, 2)
    assert sketch.shape == picture.shape
    assert np.abs(sketch.astype(int) - picture).mean() < 4


def test_tiles_are_held_a_batch_at_a_time(rng: np.random.Generator) -> None:
    sizes: list[int] = []

    def counting(squares: Pixels) -> Pixels:
        sizes.append(len(squares))
        return squares

    translate_tiled(portrait(300, 300, rng), counting, 64, 4)
    assert max(sizes) == 4
    assert sum(sizes) == 36


def test_every_picture_gets_a_name_of_its_own(tmp_path: Path) -> None:
    for name in ("a/one.jpg", "a/One.png", "b/one.jpg", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_pictures([tmp_path / "a", tmp_path / "b", tmp_path / "b" / "notes.txt"])
    assert [name for name, _ in found] == ["One", "one-2", "one-3", "notes"]
    assert len({name.casefold() for name, _ in found}) == len(found)


def test_folders_and_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    """Within the folder that is searched; the folder itself may be hidden."""
    searched = tmp_path / ".mine"
    for name in ("one.jpg", "._one.jpg", ".trash/two.jpg", "three.png/four.jpg"):
        (searched / name).parent.mkdir(parents=True, exist_ok=True)
        (searched / name).touch()
    assert [name for name, _ in find_pictures([searched])] == ["one", "four"]


def test_missing_paths_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.jpg: there is no such file or folder"):
        find_pictures([tmp_path / "gone.jpg"])
    with pytest.raises(UserError, match="holds no pictures"):
        find_pictures([tmp_path])
