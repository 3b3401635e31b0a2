"""The dataset directory: written, read back, and every way in which it can be damaged named."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from limner.core.util.errors import UserError
from limner.data_pipeline.index import load_dataset


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_data, tmp_path / "data"))


def test_what_was_prepared_is_read(tiny_data: Path) -> None:
    dataset = load_dataset(tiny_data)
    assert {split: len(records) for split, records in dataset.splits.items()} == {"train": 11, "val": 2, "test": 1}
    assert (dataset.size, dataset.fit) == (72, "stretch")
    assert [record.id for record in dataset.split("train")] == sorted(record.id for record in dataset.split("train"))
    assert json.loads((tiny_data / "dataset.json").read_text())["counts"]["train"] == 11


def test_a_missing_split_names_those_that_are_there(data: Path) -> None:
    with pytest.raises(UserError, match=r"no images in split 'dev'; it has train \(11\), val \(2\), test \(1\)"):
        load_dataset(data).split("dev")
    without = replace(load_dataset(data), splits=load_dataset(data).splits | {"test": ()})
    message = r"it has train \(11\), val \(2\): give one of these as --split, or prepare it again with a larger --test-"
    with pytest.raises(UserError, match=message):
        without.split("test")


def test_no_dataset_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a prepared dataset.*limner prepare"):
        load_dataset(tmp_path)


def test_missing_images_are_counted_and_named(data: Path) -> None:
    (data / load_dataset(data).split("val")[0].photo).unlink()
    with pytest.raises(UserError, match=r"1 image missing from .* \(photo/portrait-"):
        load_dataset(data)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("dataset.json", '"size": 72', '"size": -1', "size -1"),
        ("dataset.json", '"fit": "stretch"', '"fit": "bend"', "fit 'bend', allowed stretch, pad, crop"),
        ("dataset.json", '"name"', '"nome"', "no field 'name'"),
        ("train.jsonl", '"style": ', '"style": 9', r"style \d+ of"),
        ("train.jsonl", '"photo": "photo', '"photo": "../photo', "leaves the dataset"),
        ("val.jsonl", "{", "", "val.jsonl line 1"),
    ],
)
def test_a_damaged_index_is_named_by_file_and_line(data: Path, file: str, old: str, new: str, message: str) -> None:
    text = (data / file).read_text()
    assert old in text
    (data / file).write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        load_dataset(data)


def test_a_lost_line_or_a_double_id_is_noticed(data: Path) -> None:
    lines = (data / "train.jsonl").read_text().splitlines(keepends=True)
    (data / "train.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match=r"train.jsonl has 10 lines, dataset.json says 11"):
        load_dataset(data)
    (data / "train.jsonl").write_text("".join([*lines[:-1], lines[0]]))
    with pytest.raises(UserError, match="occurs twice"):
        load_dataset(data)


def test_classes_come_from_styles_or_from_an_attribute_of_every_image(tiny_data: Path) -> None:
    dataset = load_dataset(tiny_data)
    assert dataset.classified_by("style") is dataset
    rows = tuple(replace(row, attributes={"hat": i % 2, "name": i}) for i, row in enumerate(dataset.split("train")))
    dataset = replace(dataset, splits={"train": rows, "val": (), "test": ()})
    classified = dataset.classified_by("hat")
    assert classified.styles == ("hat 0", "hat 1")
    assert [row.style for row in classified.split("train")] == [i % 2 for i in range(len(rows))]
    with pytest.raises(UserError, match=r"condition beauty: .* for every image \(allowed: style, hat, name\)"):
        dataset.classified_by("beauty")
    alone = replace(dataset, splits={"train": rows[:1], "val": (), "test": ()})
    with pytest.raises(UserError, match=r"condition hat: has 1 value in .*, must be 2 to 64"):
        alone.classified_by("hat")
