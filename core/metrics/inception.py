"""The Inception v3 of 2015-12-05 whose features FID, KID, precision and recall are defined on.

The network is defined here, so only the weights must be downloaded: the conversion of TensorFlow's graph that
pytorch-fid publishes (github.com/mseitzer/pytorch-fid, release fid_weights). Its average pooling excludes padding, and
its last block has max pooling where the usual Inception v3 has average pooling.
"""

import itertools
import os
import shutil
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from limner.core.images import Uint8Image
from limner.core.util.errors import UserError
from limner.core.util.files import atomic_write, sha256

SIDE = 299
FEATURES = 2048
FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SHA256_START = "6726825d"
"""Start of the file's SHA-256, which is in its name by torch.hub's convention."""

Kernel = int | tuple[int, int]
Step = tuple[str, int, Kernel, int]
"""Name, output channels, kernel, stride of one convolution; stride 1 keeps the size, stride 2 has no padding."""


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padding: Kernel | None = None
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        if padding is None:
            padding = 0 if stride > 1 else (sides[0] // 2, sides[1] // 2)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H', W')."""
        return F.relu(self.bn(self.conv(x)))


def average_pool(x: Tensor) -> Tensor:
    """Average 3x3 windows with stride 1, excluding padding."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def max_pool(x: Tensor) -> Tensor:
    """Take the maximum of 3x3 windows with stride 1."""
    return F.max_pool2d(x, 3, stride=1, padding=1)


def downsample(x: Tensor) -> Tensor:
    """Take the maximum of 3x3 windows with stride 2."""
    return F.max_pool2d(x, 3, stride=2)


class Block(nn.Module):
    """Parallel chains of convolutions, their outputs concatenated; the pooling branch comes last.

    A chain that ends in two steps of names ..a and ..b feeds both with the step before and concatenates them.
    """

    def __init__(self, inputs: int, chains: list[list[Step]], pool: Any, pooled: int) -> None:
        """pool: the pooling of the last branch; pooled: channels of the 1x1 convolution after it, 0 for none."""
        super().__init__()
        self.names = [[step[0] for step in chain] for chain in chains]
        self.pool = pool
        self.outputs = pooled or inputs
        for chain in chains:
            channels = inputs
            for name, outputs, kernel, stride in chain:
                setattr(self, name, Convolution(channels, outputs, kernel, stride))
                if name[-1] != "a":
                    channels = outputs
                if name == chain[-1][0] or name[-1] == "a":
                    self.outputs += outputs
        self.branch_pool = Convolution(inputs, pooled, 1) if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H', W')."""
        branches = []
        for names in self.names:
            y = x
            for name in names:
                z = getattr(self, name)(y)
                if name[-1] in "ab":
                    branches.append(z)
                else:
                    y = z
            if names[-1][-1] != "b":
                branches.append(y)
        pooled = self.pool(x)
        branches.append(pooled if self.branch_pool is None else self.branch_pool(pooled))
        return torch.cat(branches, dim=1)


def _block_a(inputs: int, pooled: int) -> Block:
    return Block(
        inputs,
        [
            [("branch1x1", 64, 1, 1)],
            [("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)],
            [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 1)],
        ],
        average_pool,
        pooled,
    )


def _block_b(inputs: int) -> Block:
    double: list[Step] = [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 2)]
    return Block(inputs, [[("branch3x3", 384, 3, 2)], double], downsample, 0)


def _block_c(inputs: int, inner: int) -> Block:
    kernels = ((7, 1), (1, 7), (7, 1), (1, 7))
    channels = (inner, inner, inner, 192)
    tall: list[Step] = [
        (f"branch7x7dbl_{place}", outputs, kernel, 1)
        for place, outputs, kernel in zip((2, 3, 4, 5), channels, kernels, strict=True)
    ]
    return Block(
        inputs,
        [
            [("branch1x1", 192, 1, 1)],
            [("branch7x7_1", inner, 1, 1), ("branch7x7_2", inner, (1, 7), 1), ("branch7x7_3", 192, (7, 1), 1)],
            [("branch7x7dbl_1", inner, 1, 1), *tall],
        ],
        average_pool,
        192,
    )


def _block_d(inputs: int) -> Block:
    return Block(
        inputs,
        [
            [("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)],
            [
                ("branch7x7x3_1", 192, 1, 1),
                ("branch7x7x3_2", 192, (1, 7), 1),
                ("branch7x7x3_3", 192, (7, 1), 1),
                ("branch7x7x3_4", 192, 3, 2),
            ],
        ],
        downsample,
        0,
    )


def _block_e(inputs: int, pool: Any) -> Block:
    return Block(
        inputs,
        [
            [("branch1x1", 320, 1, 1)],
            [("branch3x3_1", 384, 1, 1), ("branch3x3_2a", 384, (1, 3), 1), ("branch3x3_2b", 384, (3, 1), 1)],
            [
                ("branch3x3dbl_1", 448, 1, 1),
                ("branch3x3dbl_2", 384, 3, 1),
                ("branch3x3dbl_3a", 384, (1, 3), 1),
                ("branch3x3dbl_3b", 384, (3, 1), 1),
            ],
        ],
        pool,
        192,
    )


class Inception(nn.Module):
    """Images (N, 3, 299, 299) in [-1, 1] -> features (N, 2048): the mean over the last feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, padding=0)
        self.Mixed_5b = _block_a(192, 32)
        self.Mixed_5c = _block_a(256, 64)
        self.Mixed_5d = _block_a(288, 64)
        self.Mixed_6a = _block_b(288)
        self.Mixed_6b = _block_c(768, 128)
        self.Mixed_6c = _block_c(768, 160)
        self.Mixed_6d = _block_c(768, 160)
        self.Mixed_6e = _block_c(768, 192)
        self.Mixed_7a = _block_d(768)
        self.Mixed_7b = _block_e(1280, average_pool)
        self.Mixed_7c = _block_e(2048, max_pool)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the features."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = downsample(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(downsample(x))))
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        return x.mean(dim=(2, 3))


def load_inception(path: Path) -> Inception:
    """Load the network with the weights of `path`, in eval mode; UserError unless it is the standard file."""
    try:
        digest = sha256(path)
    except OSError as error:
        raise UserError(f"{path}: Inception weights cannot be read ({error.strerror}): download {URL}") from error
    if not digest.startswith(SHA256_START):
        raise UserError(
            f"{path}: not the standard Inception weights (SHA-256 {digest[:8]}, not {SHA256_START}): get {URL}"
        )
    network = Inception()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict({name: value for name, value in weights.items() if not name.startswith("fc.")}, strict=True)
    return network.eval().requires_grad_(False)


def find_inception(given: str | None) -> Path | None:
    """Find the file of weights: `given`, or the user's cache for None and "download", which downloads it there first.

    None if no file was given and the cache has none; UserError if the download fails.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "limner" / FILE
    if given == "download" and not cache.exists():
        _download(cache)
    if given is not None and given != "download":
        return Path(given)
    return cache if cache.exists() else None


def _download(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as tmp_path:
            with urllib.request.urlopen(URL, timeout=30) as source, tmp_path.open("wb") as file:
                shutil.copyfileobj(source, file)
            load_inception(tmp_path)
    except OSError as error:  # urllib's errors are OSErrors
        raise UserError(f"Inception weights: download failed ({error}): give --inception FILE, from {URL}") from error


def resize_antialiased(image: Uint8Image) -> Tensor:
    """Resize (H, W, 3) uint8 to (3, 299, 299) in [-1, 1] by Pillow's antialiased bicubic on floats, without rounding.

    Parmar et al. 2022 (arXiv:2104.11222): other resizers change FID by more than models differ.
    """
    planes = [
        np.asarray(Image.fromarray(plane).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for plane in np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)
    ]
    return torch.from_numpy(np.stack(planes)).clamp(0.0, 255.0) / 127.5 - 1.0


@torch.no_grad()
def extract(network: nn.Module, images: Iterable[Uint8Image], device: torch.device, batch_size: int = 32) -> Tensor:
    """Compute features (N, D) float64, on the CPU, of images (H, W, 3) uint8."""
    network, stream, features = network.to(device), iter(images), []
    while chunk := list(itertools.islice(stream, batch_size)):
        batch = torch.stack([resize_antialiased(image) for image in chunk])
        features.append(network(batch.to(device)).double().cpu())
    return torch.cat(features)
