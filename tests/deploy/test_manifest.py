import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from limner.core.util.errors import UserError
from limner.core.util.files import sha256
from limner.deploy.manifest import MANIFEST, Latency, read_manifest, write_manifest


@pytest.fixture
def directory(engine_directory: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "engine"
    shutil.copytree(engine_directory, copy)
    return copy


def test_manifest_comes_back_as_it_was_written(directory: Path) -> None:
    manifest = read_manifest(directory)
    assert manifest.files == {"model.onnx": sha256(directory / "model.onnx")}
    write_manifest(directory, manifest)
    assert read_manifest(directory) == manifest
    without = replace(manifest, latency=None, parity="not run")
    write_manifest(directory, without)
    assert read_manifest(directory) == without


def test_share_of_eager() -> None:
    assert Latency(batch=1, rounds=10, engine_ms=30.0, eager_fp32_ms=120.0).share_of_eager == 0.25


def test_a_changed_engine_file_is_refused(directory: Path) -> None:
    with (directory / "model.onnx").open("ab") as file:
        file.write(b"!")
    with pytest.raises(UserError, match=r"model.onnx: not the file that was built \(SHA-256 differs\): build"):
        read_manifest(directory)


def test_a_missing_engine_file_is_named(directory: Path) -> None:
    (directory / "model.onnx").unlink()
    with pytest.raises(UserError, match=r"model.onnx: missing, though manifest.json names it: build"):
        read_manifest(directory)


def test_no_engine_directory(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"not an engine directory \(no manifest.json\): run deploy/trt/build_engine.py"
    ):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "engine format 99, this version reads format 1: build the engine again"),
        ({"batch": {"minimum": 1}, "signature": 3}, "damaged manifest"),
        ({"unheard": 1}, "damaged manifest"),
    ],
)
def test_other_and_damaged_manifests(directory: Path, change: dict[str, object], message: str) -> None:
    values = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    (directory / MANIFEST).write_text(json.dumps(values | change), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_manifest(directory)


def test_text_that_is_no_json(directory: Path) -> None:
    (directory / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="damaged manifest"):
        read_manifest(directory)
