"""DALI against its slow twin, the reference loader."""

import dataclasses
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from limner.core.config import AugmentConfig
from limner.core.util.errors import UserError
from limner.data_pipeline.index import Record
from limner.data_pipeline.loading import SampleStream
from limner.data_pipeline.reference import open_reference

open_dali = pytest.importorskip(
    "limner.data_pipeline.dali", reason="DALI cannot be imported", exc_type=ImportError
).open_dali

MakeStream = Callable[..., SampleStream]
Records = tuple[Record, ...]
Textured = Callable[[int, int], Records]
EVERYTHING = AugmentConfig(load_size=80, rotate_degrees=9.0, shift=0.1, scale=0.2, colour=0.4)
FS2K = Path(__file__).parents[2] / "../shared/data/FS2K"


def distances(one: SampleStream, other: SampleStream, batches: int) -> torch.Tensor:
    """|DALI's images for `one` - the reference's for `other`| in steps of 1/255, for so many batches."""
    found = []
    for fast, slow in islice(zip(open_dali(one), open_reference(other), strict=False), batches):
        assert torch.equal(fast.position, slow.position)
        assert torch.equal(fast.style.cpu(), slow.style)
        found.append((fast.photo.cpu() - slow.photo).abs())
        found.append((fast.sketch.cpu() - slow.sketch).abs())
    return torch.cat(found) * 127.5


@pytest.mark.parametrize(
    ("augment", "image_size", "largest", "mean"),
    [
        pytest.param(AugmentConfig(load_size=72, flip=False), 72, 0.001, 0.001, id="as-prepared"),
        pytest.param(AugmentConfig(load_size=72), 64, 0.001, 0.001, id="crop-and-mirror"),
        pytest.param(AugmentConfig(load_size=66), 64, 1.001, 0.01, id="shrunk"),
        pytest.param(AugmentConfig(load_size=36), 32, 1.001, 0.01, id="shrunk-to-half"),
        pytest.param(AugmentConfig(load_size=100), 64, 1.001, 0.01, id="enlarged"),
        pytest.param(
            AugmentConfig(load_size=72, rotate_degrees=30.0, shift=0.1, scale=0.2), 64, 2.001, 0.05, id="warped"
        ),
        pytest.param(AugmentConfig(load_size=72, colour=0.4), 64, 1.001, 0.2, id="coloured"),
        pytest.param(EVERYTHING, 64, 4.001, 0.3, id="everything"),
    ],
)
def test_dali_gives_the_pixels_of_the_reference(
    make_stream: MakeStream, textured: Textured, augment: AugmentConfig, image_size: int, largest: float, mean: float
) -> None:
    """Half a level may be rounded otherwise after a warp; a colour change may enlarge that."""
    stream = make_stream(textured(5, 72), augment=augment, image_size=image_size, batch_size=3)
    found = distances(stream, stream, 10)
    assert found.max() <= largest
    assert found.mean() <= mean


def test_dali_gives_the_pixels_of_the_reference_on_real_portraits(make_stream: MakeStream, tmp_path: Path) -> None:
    files = sorted(FS2K.rglob("photo*/*.jpg"))[::100]
    if not files:
        pytest.skip("no FS2K in ../shared/data")
    records = []
    for number, file in enumerate(files):
        image = cv2.imread(str(file))
        assert image is not None
        image = np.asarray(cv2.resize(image, (286, 286), interpolation=cv2.INTER_AREA), np.uint8)
        options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), image, options)
        records.append(Record(str(number), f"{number}.jpg", f"{number}.jpg"))
    stream = make_stream(tuple(records), image_size=256, augment=AugmentConfig())
    assert distances(stream, stream, len(files)).max() <= 2


def test_every_crop_and_mirror_is_the_drawn_one(make_stream: MakeStream, textured: Textured) -> None:
    """A crop that is one pixel off would be far from the reference on noise; 300 samples have all offsets, 0 to 12."""
    stream = make_stream(textured(2, 36), augment=AugmentConfig(load_size=36), image_size=24, batch_size=2)
    changes = [stream.augmentation_at(position) for position in range(300)]
    assert {change.x for change in changes} == {change.y for change in changes} == set(range(13))
    assert distances(stream, stream, 150).max() <= 0.001


def test_a_gpu_without_a_driver_is_one_clear_line(make_stream: MakeStream, tagged: Records) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError) as error:
        open_dali(make_stream(tagged, device=torch.device("cuda", 0)))
    assert str(error.value) == (
        "loader dali on cuda:0: DALI finds no CUDA driver: use --loader reference, or train on the CPU "
        "(--gpus-per-worker 0)"
    )


def test_dali_is_quiet(make_stream: MakeStream, textured: Textured, capfd: pytest.CaptureFixture[str]) -> None:
    stream = make_stream(
        textured(3, 18), augment=AugmentConfig(load_size=20, rotate_degrees=9.0, colour=0.1), cache=True
    )
    next(open_dali(stream))
    assert capfd.readouterr() == ("", "")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("cache", [False, True])
def test_the_gpu_gives_the_pixels_of_the_reference(make_stream: MakeStream, textured: Textured, cache: bool) -> None:
    """nvJPEG's inverse transform rounds in its own way."""
    stream = make_stream(textured(5, 72), augment=EVERYTHING, image_size=64, batch_size=3)
    on_gpu = dataclasses.replace(stream, cache=cache, device=torch.device("cuda", 0))
    found = distances(on_gpu, stream, 10)
    assert found.max() <= 8
    assert found.mean() <= 1
