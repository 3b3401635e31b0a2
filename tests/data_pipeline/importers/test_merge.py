"""Prepared datasets joined into one: styles by name, splits and bytes kept, what does not fit refused."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from limner.core.util.errors import UserError
from limner.data_pipeline.importers.folders import import_pairs, import_portraits
from limner.data_pipeline.importers.fs2k import import_fs2k
from limner.data_pipeline.importers.merge import merge_datasets
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.index import load_dataset
from tests.data_pipeline.importers.conftest import Write

SMALL = PrepareOptions(size=32, val_fraction=0.25)
NAMES = ("fs2k-1", "fs2k-2", "fs2k-3", "school", "school")


@pytest.fixture
def prepared(tmp_path: Path, fs2k: Path, write: Write) -> list[Path]:
    """FS2K with its three styles, and two folders of four and eight pairs without styles."""
    parts = [tmp_path / name for name in ("fs2k", "one", "two")]
    import_fs2k(fs2k, parts[0], SMALL)
    for count, part in zip((4, 8), parts[1:], strict=True):
        for number in range(count):
            write(tmp_path / "in" / part.name / "photo" / f"{number}.jpg", number)
            write(tmp_path / "in" / part.name / "sketch" / f"{number}.jpg", number + 1)
        folder = tmp_path / "in" / part.name
        import_pairs(folder / "photo", folder / "sketch", part, dataclasses.replace(SMALL, test_fraction=0.25))
    return parts


def test_each_style_of_each_dataset_gets_its_name_and_a_repeated_name_joins(
    prepared: list[Path], tmp_path: Path
) -> None:
    merge_datasets(prepared, NAMES, tmp_path / "out")
    merged, parts = load_dataset(tmp_path / "out"), [load_dataset(path) for path in prepared]
    assert merged.styles == ("fs2k-1", "fs2k-2", "fs2k-3", "school")
    assert (merged.size, merged.fit) == (32, "stretch")
    for split, records in merged.splits.items():
        wanted = Counter(record.style for record in parts[0].splits[split])
        wanted[3] = sum(len(part.splits[split]) for part in parts[1:])
        assert Counter(record.style for record in records) == +wanted, split
    assert merged.splits["test"][0].id == "fs2k-photo1-image0009"
    assert merged.splits["test"][0].attributes == parts[0].splits["test"][0].attributes


def test_images_stay_byte_for_byte(prepared: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merge_datasets(prepared, NAMES, tmp_path / "linked")

    def refuse(self: Path, target: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    merge_datasets(prepared, NAMES, tmp_path / "copied")
    linked, copied = load_dataset(tmp_path / "linked"), load_dataset(tmp_path / "copied")
    assert linked.content_hash == copied.content_hash
    old = [load_dataset(path) for path in prepared]
    names = {
        f"{part.root.name}-{row.id}": (part.root, row) for part in old for rows in part.splits.values() for row in rows
    }
    for dataset in (linked, copied):
        records = [record for rows in dataset.splits.values() for record in rows]
        assert {record.id for record in records} == names.keys()
        for record in records:
            root, row = names[record.id]
            for new, before in zip(record.files, row.files, strict=True):
                assert (dataset.root / new).read_bytes() == (root / before).read_bytes()


def test_the_same_again_is_nothing_to_do_and_other_names_are_refused(
    prepared: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge_datasets(prepared, NAMES, tmp_path / "out")
    merge_datasets(prepared, NAMES, tmp_path / "out")
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(UserError, match="changed: styles"):
        merge_datasets(prepared, ("a", *NAMES[1:]), tmp_path / "out")


def test_what_does_not_fit_together_is_refused(prepared: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"styles: got 3 names, must be 5 \(.*fs2k 3, .*one 1, .*two 1\)"):
        merge_datasets(prepared, ("a", "b", "c"), out)
    with pytest.raises(UserError, match="two or more"):
        merge_datasets(prepared[:1], ("a", "b", "c"), out)
    with pytest.raises(UserError, match="would both have an image one-0: rename one of them"):
        merge_datasets([prepared[1], tmp_path / "in" / ".." / "one"], ("a", "b"), out)
    photos = tmp_path / "in" / "one" / "photo"
    import_portraits(photos, tmp_path / "portraits", SMALL)
    with pytest.raises(UserError, match=r"has content pairs and .*portraits has portraits"):
        merge_datasets([prepared[1], tmp_path / "portraits"], ("a", "b"), out)
    for changes, message in (
        ({"size": 48}, "has size 32 and .* has 48"),
        ({"fit": "pad"}, "has fit stretch and .* pad"),
    ):
        other = tmp_path / "-".join(changes)
        import_pairs(photos, photos.parent / "sketch", other, dataclasses.replace(SMALL, **changes))
        with pytest.raises(UserError, match=message):
            merge_datasets([prepared[1], other], ("a", "b"), out)
    assert not out.exists()
