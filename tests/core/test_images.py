import numpy as np

from limner.core.images import from_uint8, to_uint8


def test_every_byte_value_comes_back() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(1, 8, 32, 1).repeat(3, axis=3)
    there = from_uint8(image)
    assert there.shape == (1, 3, 8, 32)
    assert (there.min(), there.max()) == (-1.0, 1.0)
    np.testing.assert_array_equal(to_uint8(there), image)


def test_values_are_rounded_to_the_nearest_and_clipped() -> None:
    values = np.array([-2.0, -1.0, 0.001, 1.0, 7.0], np.float32).reshape(1, 1, 1, 5)
    assert to_uint8(values).ravel().tolist() == [0, 0, 128, 255, 255]
