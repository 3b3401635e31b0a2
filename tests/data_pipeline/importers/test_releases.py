"""The releases as downloaded: never a wrong pair, never a silent drop."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from limner.core.util.errors import UserError
from limner.data_pipeline.images import read_image
from limner.data_pipeline.importers.combined import import_combined
from limner.data_pipeline.importers.cuhk import identity, import_cuhk
from limner.data_pipeline.importers.folders import import_pairs, import_portraits
from limner.data_pipeline.importers.fs2k import import_fs2k
from limner.data_pipeline.importers.pencil import import_pencil
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import STYLES, import_synthetic, plan_built_in, prepare_built_in
from limner.data_pipeline.index import Dataset, load_dataset

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
SMALL = PrepareOptions(size=32, val_fraction=0.3)
Write = Callable[..., None]


def rejected(out: Path) -> dict[str, str]:
    lines = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    return {line["file"]: line["reason"] for line in lines}


def check_pairs(dataset: Dataset) -> None:
    """Photo and sketch of each record carry the same number in their pixels."""
    for records in dataset.splits.values():
        for record in records:
            assert record.sketch is not None
            photo, sketch = (read_image(dataset.root / name) for name in record.files)
            assert round(photo.mean() / 8) == round(sketch.mean() / 8)


def test_fs2k_folder_and_zip_give_the_same_dataset(
    fs2k: Path, zipped: Callable[[Path, Path], Path], tmp_path: Path
) -> None:
    import_fs2k(fs2k, tmp_path / "a", SMALL)
    import_fs2k(zipped(fs2k, tmp_path / "fs2k.zip"), tmp_path / "b", SMALL)
    first, second = load_dataset(tmp_path / "a"), load_dataset(tmp_path / "b")
    assert first.content_hash == second.content_hash
    assert rejected(tmp_path / "a") == rejected(tmp_path / "b") == {}
    check_pairs(first)
    assert Counter(record.style for record in first.split("val")) == {0: 1, 1: 1, 2: 1}
    assert {split: len(records) for split, records in first.splits.items()} == {"train": 6, "val": 3, "test": 3}
    assert {record.id for record in first.split("test")} == {
        *("photo1-image0009", "photo2-image0010", "photo3-image0011")
    }
    assert first.split("test")[0].attributes == {"hair": 1, "lip_color": [1, 2, 3]}


def test_fs2k_names_every_file_that_it_leaves_out(fs2k: Path, tmp_path: Path, write: Write) -> None:
    def photo(number: int) -> Path:
        return next((fs2k / "photo").rglob(f"image{number:04d}.*"))

    data = photo(0).read_bytes()
    photo(0).write_bytes(data[: len(data) // 2])
    photo(1).write_bytes(b"")
    photo(2).write_bytes(b"not an image")
    photo(3).unlink()
    next((fs2k / "sketch").rglob("sketch0004.*")).unlink()
    write(photo(5), 5, height=30, width=40)
    shutil.copy(photo(6), photo(6).with_suffix(".png"))
    write(fs2k / "photo/photo1/image0099.jpg", 1)
    write(fs2k / "sketch/sketch1/sketch0099.jpg", 1)
    rows = json.loads((fs2k / "anno_train.json").read_text())
    rows.append({"image_name": "photo1/image0500", "style": 0})
    (fs2k / "anno_train.json").write_text(json.dumps(rows))
    import_fs2k(fs2k, tmp_path / "out", SMALL)
    reasons = rejected(tmp_path / "out")
    assert reasons["photo/photo1/image0000.jpg"] in ("truncated", "damaged", "not an image")  # by where it ends
    assert reasons["photo/photo2/image0001.JPG"] == "zero bytes"
    assert reasons["photo/photo3/image0002.jpg"] == "not an image"
    assert reasons["sketch/sketch3/sketch0002.jpg"] == "no partner"
    assert reasons["sketch/sketch1/sketch0003.jpg"] == "no partner"
    assert reasons["photo/photo2/image0004.jpg"] == "no partner"
    assert reasons["photo/photo3/image0005.JPG"] == "partner of another aspect"
    assert reasons["photo/photo1/image0006.png"] == "duplicate id"
    assert reasons["photo/photo1/image0006.jpg"] == "duplicate id"
    assert reasons["photo/photo1/image0099.jpg"] == "not in the annotation"
    assert reasons["photo/photo1/image0500"] == "missing"
    dataset = load_dataset(tmp_path / "out")
    check_pairs(dataset)
    kept = sum(len(record.files) for records in dataset.splits.values() for record in records)
    files = [path for path in fs2k.rglob("*") if path.suffix.lower() in (".jpg", ".png")]
    assert kept + len(reasons) - 1 == len(files)  # one rejection names a file that is not there


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("{", "damaged"),
        ("{}", "must hold a list"),
        ('[{"style": 0}]', "no image_name"),
        ('[{"image_name": "photo1/image0000", "style": 7}]', "style of photo1/image0000 is 7, allowed 0, 1, 2"),
    ],
)
def test_a_damaged_fs2k_annotation_is_one_line(fs2k: Path, tmp_path: Path, rows: str, message: str) -> None:
    (fs2k / "anno_train.json").write_text(rows)
    with pytest.raises(UserError, match=message):
        import_fs2k(fs2k, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_cuhk_pairs_by_identity_in_both_naming_schemes(tmp_path: Path, write: Write) -> None:
    names = {
        "training": [("f-005-01", "F2-005-01-sz1"), ("m-008-01", "M2-008-01-sz1"), ("m-010-01", "M2-010-01-sz1")],
        "testing": [("f-039-01", "f-039-01-sz1"), ("m-041-01", "m-041-01-sz1"), ("m1-041-01", "m1-041-01-sz1")],
    }
    number = 0
    for part, pairs in names.items():
        for photo, sketch in pairs:
            number += 1
            write(tmp_path / "in" / f"{part}_photo" / f"{photo}.jpg", number)
            write(tmp_path / "in" / f"{part}_sketch" / f"{sketch}.JPG", number)
    write(tmp_path / "in" / "training_photo" / "f-077-01.jpg", 20)
    write(tmp_path / "in" / "training_photo" / "holiday.jpg", 21)
    import_cuhk(tmp_path / "in", tmp_path / "out", PrepareOptions(size=32, val_fraction=0.0))
    dataset = load_dataset(tmp_path / "out")
    check_pairs(dataset)
    assert {record.id for record in dataset.split("train")} == {"f-005-01", "m-008-01", "m-010-01"}
    assert {record.id for record in dataset.split("test")} == {"f-039-01", "m-041-01", "m1-041-01"}
    assert rejected(tmp_path / "out") == {
        "training_photo/f-077-01.jpg": "no partner",
        "training_photo/holiday.jpg": "not a CUHK name",
    }


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("f-005-01.jpg", "f-005-01"),
        ("F2-005-01-sz1.jpg", "f-005-01"),
        ("f-039-01-sz1.jpg", "f-039-01"),
        ("m1-041-01-sz1.jpg", "m1-041-01"),
        ("m1-041-01.jpg", "m1-041-01"),
        ("portrait.jpg", None),
    ],
)
def test_a_cuhk_name_names_one_person(name: str, person: str | None) -> None:
    assert identity(name) == person


def test_folders_are_paired_by_name_never_by_order(tmp_path: Path, write: Write) -> None:
    names = [f"{letter}-face" for letter in "abcdefgh"]
    random.Random(1).shuffle(names)
    for number, name in enumerate(names):
        write(tmp_path / "photos" / f"{name}.jpg", number)
        write(tmp_path / "sketches" / f"{name}.png", number)
    write(tmp_path / "photos" / "aa-alone.jpg", 20)
    write(tmp_path / "sketches" / "ä b.png", 21)
    write(tmp_path / "photos" / "ä b.jpg", 21)
    import_pairs(tmp_path / "photos", tmp_path / "sketches", tmp_path / "out", SMALL)
    dataset = load_dataset(tmp_path / "out")
    check_pairs(dataset)
    assert sum(map(len, dataset.splits.values())) == 9
    assert all(record.id.isascii() and " " not in record.id for record in dataset.split("train"))
    assert rejected(tmp_path / "out") == {"photos/aa-alone.jpg": "no partner"}
    with pytest.raises(UserError, match="photos and sketches are both"):
        import_pairs(tmp_path / "photos", tmp_path / "photos", tmp_path / "other", SMALL)


def test_combined_images_are_cut_in_halves(tmp_path: Path, write: Write) -> None:
    both = np.full((20, 40, 3), 80, np.uint8)
    both[:, 20:] = 160
    (tmp_path / "in").mkdir()
    for name in ("one", "two", "three", "four"):
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), both)
    write(tmp_path / "in" / "odd.png", 3, height=10, width=21)
    write(tmp_path / "in" / "tall.png", 3, height=30, width=20)
    import_combined(tmp_path / "in", tmp_path / "out", SMALL)
    dataset = load_dataset(tmp_path / "out")
    photo, sketch = (read_image(dataset.root / name) for name in dataset.split("train")[0].files)
    assert (round(photo.mean()), round(sketch.mean())) == (80, 160)
    assert set(rejected(tmp_path / "out").values()) == {"not two images side by side"}


def test_portraits_have_no_sketch_and_pencil_computes_one(tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        image = cv2.resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), (60, 80), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), image)
    import_portraits(tmp_path / "in", tmp_path / "portraits", SMALL)
    assert all(record.sketch is None for record in load_dataset(tmp_path / "portraits").split("train"))
    import_pencil(tmp_path / "in", tmp_path / "pencil", SMALL)
    dataset = load_dataset(tmp_path / "pencil")
    for record in dataset.split("train"):
        assert record.sketch is not None
        sketch = read_image(dataset.root / record.sketch)
        assert np.percentile(sketch, 60) > 225  # even parts are paper
        assert sketch.min() < 160  # edges are strokes


def test_synthetic_portraits_carry_styles_and_attributes(tmp_path: Path) -> None:
    import_synthetic(12, tmp_path / "out", SMALL)
    dataset = load_dataset(tmp_path / "out")
    assert dataset.styles == STYLES
    records = [record for rows in dataset.splits.values() for record in rows]
    assert {record.style for record in records} == {0, 1, 2}
    assert {"hair", "beard", "glasses"} <= set(records[0].attributes)
    with pytest.raises(UserError, match="count 0"):
        import_synthetic(0, tmp_path / "none", SMALL)


def test_small_synthetic_datasets_are_made_without_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_synthetic(2, tmp_path / "out", PrepareOptions(size=32))
    assert capsys.readouterr().err == ""


@pytest.fixture
def few_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.data_pipeline.importers.synthetic.BUILT_IN_COUNT", 40)
    monkeypatch.setattr("limner.data_pipeline.importers.synthetic.BUILT_IN_TEST_COUNT", 3)


def test_the_built_in_dataset_is_the_synthetic_one_with_a_test_split(
    few_built_in: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So training on it is what it was before there was a test split."""
    import_synthetic(40, tmp_path / "plain", PrepareOptions(size=32))
    prepare_built_in(tmp_path / "built-in", 32)
    assert capsys.readouterr().err == ""
    plain, built_in = load_dataset(tmp_path / "plain"), load_dataset(tmp_path / "built-in")
    for split in ("train", "val"):
        assert plain.split(split) == built_in.split(split)
        for name in (name for record in plain.split(split) for name in record.files):
            assert (plain.root / name).read_bytes() == (built_in.root / name).read_bytes()
    assert [record.id for record in built_in.split("test")] == [f"portrait-{number:06}" for number in (40, 41, 42)]
    prepare_built_in(tmp_path / "built-in", 32)
    assert "nothing to do" in capsys.readouterr().out


def test_the_plan_of_the_built_in_dataset_is_what_is_written(few_built_in: None, tmp_path: Path) -> None:
    planned = plan_built_in(tmp_path / "out", 32)
    assert not (tmp_path / "out").exists()
    prepare_built_in(tmp_path / "out", 32)
    written = load_dataset(tmp_path / "out")
    assert planned == replace(written, content_hash="", preparation={})


def test_a_built_in_dataset_without_a_test_split_is_kept(few_built_in: None, tmp_path: Path) -> None:
    """Runs that were started on it can be resumed on no other data."""
    import_synthetic(40, tmp_path / "out", PrepareOptions(size=32))
    before = load_dataset(tmp_path / "out")
    prepare_built_in(tmp_path / "out", 32)
    assert load_dataset(tmp_path / "out") == before


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real FS2K and CUHK pairs are not next to this checkout")
def test_the_real_releases_lose_no_pair(tmp_path: Path) -> None:
    import_cuhk(SHARED / "CUHK", tmp_path / "cuhk", PrepareOptions(size=16, test_fraction=0.2))
    cuhk = load_dataset(tmp_path / "cuhk")
    assert {split: len(rows) for split, rows in cuhk.splits.items()} == {"train": 66, "val": 4, "test": 18}
    import_fs2k(SHARED / "FS2K", tmp_path / "fs2k", PrepareOptions(size=16))
    fs2k = load_dataset(tmp_path / "fs2k")
    assert len(fs2k.split("train")) + len(fs2k.split("val")) == 1058
    assert len(fs2k.split("test")) == 522
    assert rejected(tmp_path / "cuhk") == rejected(tmp_path / "fs2k") == {}
    assert set(Counter(record.style for record in fs2k.split("val")).values()) == {18}
