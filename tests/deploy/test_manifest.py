import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from limner.core.util.errors import UserError
from limner.core.util.files import sha256
from limner.deploy.manifest import MANIFEST, Latency, PrecisionReport, read_manifest, write_manifest


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
    without = replace(manifest, latency=None, parity=None, precision=replace(manifest.precision, executed=None))
    write_manifest(directory, without)
    assert read_manifest(directory) == without
    written = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    assert (written["parity"], written["latency"]) == ("not run", None)
    assert written["precision"] == {"asked": "fp32", "stored": "fp32", "executed": "unknown"}


def test_speedup_is_over_eager_torch() -> None:
    assert Latency(batch=1, rounds=10, engine_ms=30.0, eager_fp32_ms=120.0).speedup == 4.0


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
    with pytest.raises(UserError, match=r"not an engine directory \(no manifest.json\): run limner build"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "engine format 99, this version reads format 1: build the engine again"),
        ({"batch": {"minimum": 1}, "signature": 3}, "damaged manifest"),
        ({"unheard": 1}, "damaged manifest"),
        ({"precision": {"asked": "fp32"}}, "damaged manifest"),
        ({"backend": "coreml"}, "backend coreml, this version has openvino, .*: build the engine again"),
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


def test_a_manifest_of_the_first_release_loads(tmp_path: Path) -> None:
    """Field names, "not run" and "unknown" are a contract; what was added since may be missing."""
    port = {"name": "photo", "shape": [3, 64, 64], "dtype": "float32"}
    written = {
        "format": 1,
        "source": {"bundle_hash": "ca00", "task": "pix2pix", "image_size": 64, "fit": "pad", "styles": ["soft"]},
        "backend": "tensorrt-rtx",
        "backend_version": "1.7.1.116",
        "precision": {"asked": "fp16", "stored": "fp16", "executed": "unknown"},
        "batch": {"minimum": 1, "optimum": 2, "maximum": 4},
        "signature": {"inputs": [port], "output": port | {"name": "image"}, "styles": 1},
        "device": "any GPU that TensorRT-RTX supports",
        "options": {"level": 3},
        "files": {},
        "parity": "not run",
        "onnx_parity": None,
        "latency": None,
    }
    (tmp_path / MANIFEST).write_text(json.dumps(written), encoding="utf-8")
    manifest = read_manifest(tmp_path)
    assert manifest.precision == PrecisionReport("fp16", "fp16", None)
    assert manifest.parity is None
    assert manifest.source.styles == ("soft",)
    write_manifest(tmp_path, manifest)
    assert json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8")) == written
