from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner.core.image_grid import BACKGROUND, CELL_SIDES, GAP, comparison_grid, make_grid, save_png
from limner.core.images import Uint8Image


def plain(height: int, width: int, level: int) -> Uint8Image:
    return np.full((height, width, 3), level, np.uint8)


def count(grid: Uint8Image, level: int) -> int:
    """Pixels of exactly this grey."""
    return int((grid == level).all(axis=2).sum())


def test_every_image_is_in_the_grid_pixel_for_pixel() -> None:
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (128, 128, 3), np.uint8) for _ in range(5)]
    grid = comparison_grid({"photo": photos, "generated": photos[::-1]})
    windows = np.lib.stride_tricks.sliding_window_view(grid[..., 0], 8, axis=1)
    for photo in photos:
        assert (windows == photo[0, :8, 0]).all(axis=2).sum() == 2


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 18, 60])
def test_many_rows_wrap_to_a_grid_that_fits_a_screen(rows: int) -> None:
    images = [plain(128, 128, 10)] * rows
    grid = comparison_grid({"photo": images, "generated": images, "real": images})
    assert count(grid, 10) == 3 * rows * 128 * 128
    if rows > 1:
        assert 0.5 < grid.shape[1] / grid.shape[0] < 2.7


def test_rows_go_down_one_group_after_the_other_and_columns_to_the_right() -> None:
    rows = 18
    columns = [[np.full((128, 128, 3), (row, column, 7), np.uint8) for row in range(rows)] for column in range(2)]
    grid = comparison_grid({"photo": columns[0], "generated": columns[1]})
    corners = {}
    for column in range(2):
        places = [np.argwhere((grid == (row, column, 7)).all(axis=2)).min(axis=0) for row in range(rows)]
        corners[column] = [(int(left), int(top)) for top, left in places]
    assert corners[0] == sorted(corners[0])
    assert 1 < len({left for left, _ in corners[0]}) < rows
    assert corners[1] == [(left + 128 + GAP, top) for left, top in corners[0]]


def test_small_images_are_enlarged_by_whole_factors_and_large_ones_shrunk() -> None:
    smallest, largest = CELL_SIDES
    small = comparison_grid({"photo": [plain(50, 40, 10)]})
    assert count(small, 10) == (50 * 3) * (40 * 3)
    assert smallest <= 50 * 3
    assert count(comparison_grid({"photo": [plain(largest * 4, largest * 2, 10)]}), 10) == largest * largest // 2


def test_captions_take_a_line_under_each_row_and_are_cut_to_fit() -> None:
    images = [plain(128, 128, 10)] * 2
    bare = comparison_grid({"photo": images})
    captioned = comparison_grid({"photo": images}, ["one", "a name that is much too long for its image " * 9])
    assert captioned.shape[1] == bare.shape[1]
    assert count(captioned, 10) == count(bare, 10)
    assert captioned.shape[0] > bare.shape[0]


def test_the_same_images_make_the_same_grid() -> None:
    images = [plain(64, 64, level) for level in (10, 90)]
    first, second = (comparison_grid({"photo": images}, ["a", "b"]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_grid_of_nothing_and_uneven_columns_are_defects() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        comparison_grid({"photo": []})
    with pytest.raises(ValueError, match="shorter"):
        comparison_grid({"photo": [plain(8, 8, 0)] * 2, "real": [plain(8, 8, 0)]})


@pytest.mark.parametrize(("images", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (5, 3, 2), (64, 8, 8)])
def test_grids_are_filled_row_by_row_and_the_rest_is_background(images: int, columns: int, rows: int) -> None:
    grid = make_grid([plain(6, 4, number) for number in range(images)])
    assert grid.shape == (rows * (6 + GAP) - GAP, columns * (4 + GAP) - GAP, 3)
    corners = grid[:: 6 + GAP, :: 4 + GAP].reshape(-1, 3)
    np.testing.assert_array_equal(corners[:images, 0], np.arange(images))
    assert all((corners[images:] == BACKGROUND).all(axis=1))
    assert all(count(grid, number) == 6 * 4 for number in range(images))


def test_png_holds_the_pixels_replaces_an_older_file_and_leaves_no_other(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    path = tmp_path / "new" / "a.png"
    save_png(path, plain(3, 3, 0))
    save_png(path, image)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), image)
    assert list(path.parent.iterdir()) == [path]
