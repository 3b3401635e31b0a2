"""All or nothing, once and the same; sources that mean harm are refused."""

import json
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import limner.data_pipeline.importers.prepare
from limner.core.util.errors import UserError
from limner.data_pipeline.importers.folders import import_pairs, import_portraits
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.source import open_source, safe_id
from limner.data_pipeline.index import load_dataset, write_dataset

SMALL = PrepareOptions(size=32, val_fraction=0.25)
Write = Callable[..., None]


@pytest.fixture
def source(tmp_path: Path, write: Write) -> Path:
    for number in range(8):
        write(tmp_path / "in" / f"{number}.jpg", number, height=40, width=30)
    return tmp_path / "in"


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_same_again_is_nothing_to_do(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_portraits(source, tmp_path / "out", SMALL)
    before = content(tmp_path / "out")
    import_portraits(source, tmp_path / "out", SMALL)
    assert content(tmp_path / "out") == before
    assert "nothing to do" in capsys.readouterr().out


def test_results_do_not_depend_on_place_or_processors(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_portraits(source, tmp_path / "a", SMALL)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    shutil.copytree(source, tmp_path / "elsewhere" / "in")
    import_portraits(tmp_path / "elsewhere" / "in", tmp_path / "b", SMALL)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert str(tmp_path) not in (tmp_path / "a" / "dataset.json").read_text()


@pytest.mark.parametrize(
    ("options", "message"), [(PrepareOptions(size=48, val_fraction=0.25), r"size \(32, now 48\)"), (SMALL, "files")]
)
def test_another_source_or_option_is_refused_and_nothing_changes(
    source: Path, tmp_path: Path, write: Write, options: PrepareOptions, message: str
) -> None:
    import_portraits(source, tmp_path / "out", SMALL)
    before = content(tmp_path / "out")
    if options == SMALL:
        write(source / "new.jpg", 9)
    with pytest.raises(UserError, match=rf"{message}.*Choose another --out, or delete"):
        import_portraits(source, tmp_path / "out", options)
    assert content(tmp_path / "out") == before


def test_a_foreign_directory_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="exists and is not a prepared dataset"):
        import_portraits(source, tmp_path / "out", SMALL)
    assert content(tmp_path / "out") == {"thesis.txt": b"mine"}
    with pytest.raises(UserError, match="lies within the source"):
        import_portraits(source, source / "out", SMALL)


def test_an_interruption_leaves_nothing_that_looks_finished(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(limner.data_pipeline.importers.prepare, "write_dataset", interrupt)
        with pytest.raises(KeyboardInterrupt):
            import_portraits(source, tmp_path / "out", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    import_portraits(source, tmp_path / "out", SMALL)
    assert load_dataset(tmp_path / "out").split("train")


OTHER_PROCESS = """
import sys
from pathlib import Path
from limner.data_pipeline.importers.folders import import_portraits
from limner.data_pipeline.importers.prepare import PrepareOptions
source, out, seed = sys.argv[1:]
import_portraits(Path(source), Path(out), PrepareOptions(size=32, val_fraction=0.25, seed=int(seed)))
"""


@pytest.fixture
def overtaken(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let another process prepare the same source into `out`, by a seed, just before this one is done."""

    def set_up(seed: int) -> None:
        def write_after_the_other(*arguments: Any) -> None:
            write_dataset(*arguments)
            command = [sys.executable, "-c", OTHER_PROCESS, str(source), str(tmp_path / "out"), str(seed)]
            subprocess.run(command, check=True, capture_output=True)

        monkeypatch.setattr(limner.data_pipeline.importers.prepare, "write_dataset", write_after_the_other)

    return set_up


@pytest.mark.parametrize("exists", [False, True])
def test_of_two_processes_that_prepare_the_same_the_slower_keeps_the_result_of_the_faster(
    source: Path, tmp_path: Path, overtaken: Callable[[int], None], capsys: pytest.CaptureFixture[str], exists: bool
) -> None:
    """The ranks of a job that all prepare the built-in dataset do so."""
    overtaken(0)
    if exists:
        (tmp_path / "out").mkdir()
    import_portraits(source, tmp_path / "out", SMALL)
    assert "nothing to do" in capsys.readouterr().out
    assert load_dataset(tmp_path / "out").split("train")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_of_two_processes_that_prepare_something_else_the_slower_fails_and_changes_nothing(
    source: Path, tmp_path: Path, overtaken: Callable[[int], None]
) -> None:
    overtaken(1)
    with pytest.raises(UserError, match=r"with other options; changed: seed \(1, now 0\)"):
        import_portraits(source, tmp_path / "out", SMALL)
    assert load_dataset(tmp_path / "out").preparation["seed"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_jpegs_are_4_4_4_at_quality_95_and_pngs_exact(source: Path, tmp_path: Path) -> None:
    import_portraits(source, tmp_path / "jpeg", SMALL)
    image = Image.open(next((tmp_path / "jpeg" / "photo").iterdir()))
    assert all(sampling[1:3] == (1, 1) for sampling in image.layer)  # type: ignore[attr-defined]
    assert image.quantization[0][0] == 2  # type: ignore[attr-defined] # ITU-T T.81 table K.1, scaled to quality 95
    image.close()
    import_portraits(source, tmp_path / "png", PrepareOptions(size=32, format="png", val_fraction=0.25))
    with Image.open(tmp_path / "png" / "photo" / "3.png") as exact:
        assert exact.getpixel((5, 5)) == (24, 24, 24)


@pytest.mark.parametrize(
    ("val_fraction", "test_fraction", "empty"),
    [(0.0, 0.0, []), (0.01, 0.0, ["val"]), (0.0, 0.01, ["test"]), (0.6, 0.39, ["train"])],
)
def test_splits_that_are_asked_for_and_empty_are_warned_of(
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    val_fraction: float,
    test_fraction: float,
    empty: list[str],
) -> None:
    options = PrepareOptions(size=32, val_fraction=val_fraction, test_fraction=test_fraction)
    import_portraits(source, tmp_path / "out", options)
    assert capsys.readouterr().err.splitlines() == [f"warning: the {split} split is empty" for split in empty]


def test_rejected_files_are_counted(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "x.jpg").write_bytes(b"")
    import_portraits(source, tmp_path / "out", SMALL)
    assert f"rejected: 1 file, listed in {tmp_path / 'out' / 'rejected.jsonl'}" in capsys.readouterr().out


def test_splits_depend_on_the_seed_and_on_no_other_image(source: Path, tmp_path: Path, write: Write) -> None:
    def split_of(out: str, seed: int) -> dict[str, str]:
        import_portraits(
            source, tmp_path / out, PrepareOptions(size=32, seed=seed, val_fraction=0.25, test_fraction=0.25)
        )
        splits = load_dataset(tmp_path / out).splits
        return {record.id: name for name, records in splits.items() for record in records}

    first, other = split_of("a", 0), split_of("b", 1)
    assert sorted(first.values()) == ["test"] * 2 + ["train"] * 4 + ["val"] * 2
    assert first != other


def test_a_source_without_a_usable_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"no usable image \(1 rejected: zero bytes\)"):
        import_portraits(tmp_path / "in", tmp_path / "out", SMALL)


def test_names_that_differ_in_case_only_are_all_rejected(tmp_path: Path, write: Write) -> None:
    for folder in ("photos", "sketches"):
        for number, name in enumerate(("a", "b", "Face", "face")):
            write(tmp_path / folder / f"{name}.png", number)
    if len(list((tmp_path / "photos").iterdir())) < 4:
        pytest.skip("this file system ignores case")
    import_pairs(tmp_path / "photos", tmp_path / "sketches", tmp_path / "out", SMALL)
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert {line["reason"] for line in lines} == {"duplicate id"}
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil.jpg", "leaves the target folder"),
        ("/evil.jpg", "leaves the target folder"),
        ("C:/evil.jpg", "leaves the target folder"),
        ("a/../../evil.jpg", "leaves the target folder"),
        ("..\\evil.jpg", "leaves the target folder"),
    ],
)
def test_zip_entries_that_leave_are_refused(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"data")
    with pytest.raises(UserError, match=message):
        open_source(path)


def test_links_and_bombs_in_zips_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="is a symbolic link"):
        open_source(tmp_path / "link.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.jpg", bytes(64 * 2**20))
    with pytest.raises(UserError, match="decompression bomb"):
        open_source(tmp_path / "bomb.zip")
    (tmp_path / "damaged.zip").write_bytes(b"PK\x05\x06" + bytes(10))
    with pytest.raises(UserError, match=r"damaged zip archive|neither a folder nor a zip"):
        open_source(tmp_path / "damaged.zip")


@pytest.mark.parametrize("name", ["a", "photo1-image0001", "con", "ä b", "x" * 300, "..", "a/b", "nul.x"])
def test_ids_are_safe_file_names_and_differ_when_names_do(name: str) -> None:
    found = safe_id(name)
    assert found.isascii()
    assert 0 < len(found) <= 120
    assert not set(found) & set('<>:"/\\|?* ')
    assert found.split(".")[0].lower() not in {"con", "nul", ""}
    assert safe_id(name + "?") != found
