"""The Inception v3 of 2015-12-05 whose features FID, KID, precision and recall are defined on, from a file of weights.

The network is rebuilt here so that nothing but the weights need be had: the conversion of TensorFlow's graph that
pytorch-fid publishes (github.com/mseitzer/pytorch-fid, release fid_weights). Its averaging leaves out padding, and its
last block takes a maximum where the usual Inception v3 averages.
"""

import hashlib
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

SIDE = 299
FEATURES = 2048
FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SHA256_START = "6726825d"
"""The file's SHA-256 begins so, as its name says by torch.hub's convention."""

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


def average(x: Tensor) -> Tensor:
    """3x3 mean that leaves out padding."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def maximum(x: Tensor) -> Tensor:
    """3x3 maximum of the same size."""
    return F.max_pool2d(x, 3, stride=1, padding=1)


def halve(x: Tensor) -> Tensor:
    """3x3 maximum with stride 2."""
    return F.max_pool2d(x, 3, stride=2)


class Block(nn.Module):
    """Chains of convolutions side by side, their outputs joined; the pool comes last.

    A chain that ends in two steps of names ..a and ..b feeds both with what came before and joins them.
    """

    def __init__(self, inputs: int, chains: list[list[Step]], pool: Any, pooled: int) -> None:
        """pool: what is done to the input in the last branch; pooled: channels of the 1x1 after it, 0: none."""
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
        average,
        pooled,
    )


def _block_b(inputs: int) -> Block:
    double: list[Step] = [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 2)]
    return Block(inputs, [[("branch3x3", 384, 3, 2)], double], halve, 0)


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
        average,
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
        halve,
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
    """Pictures (N, 3, 299, 299) in [-1, 1] -> features (N, 2048): the mean over the last maps."""

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
        self.Mixed_7b = _block_e(1280, average)
        self.Mixed_7c = _block_e(2048, maximum)

    def forward(self, x: Tensor) -> Tensor:
        """The features."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = halve(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(halve(x))))
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        return x.mean(dim=(2, 3))


def load_inception(path: Path) -> Inception:
    """The network with the weights of `path`, in eval mode; UserError where the file is not the standard one."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
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


def find_inception(given: str) -> Path | None:
    """Where the weights lie: `given`, a file, or "download"; "": the user's cache, None if they are not there.

    UserError where they cannot be downloaded.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "limner" / FILE
    if given == "download" and not cache.exists():
        _download(cache)
    if given not in ("", "download"):
        return Path(given)
    return cache if cache.exists() else None


def _download(target: Path) -> None:
    aside = target.with_suffix(".new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(URL, timeout=30) as source, aside.open("wb") as sink:
            shutil.copyfileobj(source, sink)
        load_inception(aside)
        aside.replace(target)
    except OSError as error:  # what urllib raises is one too
        raise UserError(
            f"Inception weights cannot be downloaded ({error}): give --inception FILE, from {URL}"
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def resize_cleanly(picture: Uint8Image) -> Tensor:
    """(H, W, 3) uint8 -> (3, 299, 299) in [-1, 1], by Pillow's antialiased bicubic on floats, never rounded between.

    Parmar et al. 2022 (arXiv:2104.11222): other resizers move FID by more than models differ.
    """
    planes = [
        np.asarray(Image.fromarray(plane).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for plane in np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32)
    ]
    return torch.from_numpy(np.stack(planes)).clamp(0.0, 255.0) / 127.5 - 1.0


@torch.no_grad()
def extract(network: nn.Module, pictures: Iterable[Uint8Image], device: torch.device, batch_size: int = 32) -> Tensor:
    """Features (N, D) float64 of pictures (H, W, 3) uint8, on the CPU."""
    network, stream, features = network.to(device), iter(pictures), []
    while batch := list(itertools.islice(stream, batch_size)):
        images = torch.stack([resize_cleanly(picture) for picture in batch])
        features.append(network(images.to(device)).double().cpu())
    return torch.cat(features)
