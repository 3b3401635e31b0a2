"""Draws are Philox's own, and belong to positions."""

import pytest
import torch

from limner.core.noise import RngStream, normal, philox, uniform


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # the known answers of Random123, the authors' library, for philox4x32-10
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_words_are_those_of_the_authors(counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]) -> None:
    a, b, c, d = (torch.tensor([word]) for word in counter)
    assert tuple(int(word) for word in philox((a, b, c, d), key)) == words


def test_a_draw_depends_on_its_own_position_only() -> None:
    positions = torch.tensor([7, 2**40 + 7, 0, 99])
    together = normal(3, RngStream.LATENT, positions, 100)
    alone = torch.cat([normal(3, RngStream.LATENT, positions[i : i + 1], 100) for i in range(4)])
    assert torch.equal(together, alone)
    assert torch.equal(together[:, :33], normal(3, RngStream.LATENT, positions, 33))
    assert together.unique().numel() > 395


def test_seed_and_purpose_give_other_draws() -> None:
    position = torch.arange(4)
    draws = [uniform(0, RngStream.LATENT, position, 64)]
    draws += [uniform(1, RngStream.LATENT, position, 64), uniform(2**32, RngStream.LATENT, position, 64)]
    draws.append(uniform(0, RngStream.SAMPLE, position, 64))
    correlation = torch.corrcoef(torch.stack([draw.flatten() for draw in draws]))
    assert (correlation - torch.eye(4)).abs().max() < 0.25


def test_draws_have_the_distribution_of_their_name() -> None:
    position = torch.arange(500)
    flat = uniform(0, RngStream.LATENT, position, 100)
    assert flat.min() > 0.0
    assert flat.max() < 1.0
    assert flat.mean().item() == pytest.approx(0.5, abs=0.01)
    bell = normal(0, RngStream.LATENT, position, 100)
    assert bell.mean().item() == pytest.approx(0.0, abs=0.02)
    assert bell.std().item() == pytest.approx(1.0, abs=0.02)
    assert bell.pow(4).mean().item() == pytest.approx(3.0, abs=0.15)


def test_truncation_bounds_latents_and_moves_them_smoothly() -> None:
    position = torch.arange(100)
    free, cut, tight = (normal(0, RngStream.SAMPLE, position, 50, bound) for bound in (float("inf"), 1.5, 0.2))
    assert cut.abs().max() <= 1.5
    assert tight.abs().max() <= 0.2
    assert (cut.abs() <= free.abs() + 1e-6).all()
    assert torch.equal(cut.sign(), free.sign())
