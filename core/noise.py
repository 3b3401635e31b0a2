"""Random numbers keyed by sample index: functions of (seed, stream, index), whatever the rank, batch or device.

Philox4x32-10, the counter-based generator of Salmon et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3").
"""

import math
from enum import IntEnum

import torch
from torch import Tensor

Words = tuple[Tensor, Tensor, Tensor, Tensor]

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


class RngStream(IntEnum):
    """Independent streams of random numbers."""

    LATENT = 1
    SAMPLE = 2
    AUGMENT_REAL_FOR_DISCRIMINATOR = 3
    AUGMENT_FAKE_FOR_DISCRIMINATOR = 4
    AUGMENT_REAL_FOR_GENERATOR = 5
    AUGMENT_FAKE_FOR_GENERATOR = 6
    PROJECTION = 7
    PATCH = 8
    AUGMENT_PAIR_FOR_DISCRIMINATOR = 9
    AUGMENT_PAIR_FOR_GENERATOR = 10


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Four words of 32 random bits for each counter; all are int64 tensors of one shape, in [0, 2^32)."""
    low, high = key
    a, b, c, d = counter
    for _ in range(_ROUNDS):
        a_high, a_low = _product(a, _MULTIPLIERS[0])
        c_high, c_low = _product(c, _MULTIPLIERS[1])
        a, b, c, d = c_high ^ b ^ low, c_low, a_high ^ d ^ high, a_low
        low, high = (low + _WEYL[0]) & _MASK, (high + _WEYL[1]) & _MASK
    return a, b, c, d


def _product(x: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of x * factor, by halves of x so that int64 does not overflow."""
    upper, lower = (x >> 16) * factor, (x & 0xFFFF) * factor
    return (upper + (lower >> 16)) >> 16, (((upper & 0xFFFF) << 16) + lower) & _MASK


def uniform(seed: int, stream: RngStream, index: Tensor, count: int) -> Tensor:
    """Generate `count` numbers in (0, 1) for each index: (N,) int64 -> (N, count) float32, on the same device."""
    blocks = torch.arange(-(-count // 4), device=index.device).expand(len(index), -1)
    place = index[:, None].expand_as(blocks)
    counter = (blocks, place & _MASK, place >> 32, torch.full_like(blocks, (seed >> 32) & _MASK))
    words = torch.stack(philox(counter, (seed & _MASK, int(stream))), dim=2).flatten(1)[:, :count]
    return ((words >> 9).float() + 0.5) * 2.0**-23  # 23 bits and a half are exact in float32, and never 0 or 1


def normal(seed: int, stream: RngStream, index: Tensor, count: int, truncation: float = math.inf) -> Tensor:
    """Generate `count` numbers from N(0, 1) for each index: (N,) int64 -> (N, count) float32.

    truncation: they lie within [-truncation, truncation] (Brock et al. 2019, section 3.1), mapped, not resampled, so
    that a latent moves smoothly towards 0 as the bound falls.
    """
    cut = 0.5 * math.erfc(truncation / math.sqrt(2.0))  # probability beyond the bound, on either side
    uniforms = uniform(seed, stream, index, count).double()
    quantiles: Tensor = torch.special.ndtri(cut + uniforms * (1.0 - 2.0 * cut))
    return quantiles.float()
