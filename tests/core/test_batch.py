import numpy as np
import torch

from limner.core.batch import to_images, to_tensor


def test_tensors_take_the_same_way_as_arrays(rng: np.random.Generator) -> None:
    """By torch's own operators, value for value."""
    images = rng.integers(0, 256, (2, 8, 8, 3), np.uint8)
    expected = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    assert torch.equal(to_tensor(images), expected)
    values = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rounded = ((values + 1.0) * 127.5).round().clamp(0.0, 255.0).to(torch.uint8).permute(0, 2, 3, 1)
    assert np.array_equal(to_images(values), rounded.numpy())
    assert np.array_equal(to_images(values.requires_grad_().double()), rounded.numpy())
