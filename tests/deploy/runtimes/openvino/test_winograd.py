"""Twins: rewritten convolutions compute what OpenVINO's own compute."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
import pytest
from openvino import opset13

from limner.deploy.runtimes.openvino import winograd
from limner.deploy.runtimes.openvino.winograd import ROWS, STRIDED, TRANSPOSED, A, B, G, transform_large
from tests.deploy.conftest import run_openvino

Array = npt.NDArray[np.float32]
CHANNELS, KERNELS = 6, 10


@pytest.fixture
def however_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "MIN_WORK", 0)
    monkeypatch.setattr(winograd, "MIN_REUSE", 0)


def random_array(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def make_model(
    kind: str, image: list[int], *, size: int = 4, stride: int = 2, pad: int = 1, dtype: Any = np.float32
) -> openvino.Model:
    """One convolution of an image (-1: any number)."""
    x = opset13.parameter(image, dtype, name="x")
    pads: dict[str, list[int]] = {"pads_begin": [pad, pad], "pads_end": [pad, pad], "dilations": [1, 1]}
    channels = (KERNELS, CHANNELS) if kind == STRIDED else (CHANNELS, KERNELS)
    kernel = opset13.constant(random_array(*channels, size, size).astype(dtype))
    make: Callable[..., openvino.Node] = opset13.convolution if kind == STRIDED else opset13.convolution_backprop_data
    return openvino.Model([make(x, kernel, strides=[stride, stride], **pads)], [x])


def kernel_sizes(model: openvino.Model) -> set[tuple[int, ...]]:
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() in (STRIDED, TRANSPOSED)]
    return {tuple(node.input_value(1).get_node().shape)[2:] for node in nodes}


def test_four_rows_come_from_five_products() -> None:
    """The identity that everything rests on, against the definition."""
    taps, rows = np.random.default_rng(0).standard_normal((2, 5))
    expected = [taps[0] * rows[u] + taps[1] * rows[u + 1] for u in range(ROWS)]
    np.testing.assert_allclose(A @ ((G @ taps[:2]) * (B @ rows)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [STRIDED, TRANSPOSED])
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (3, 16, 10), (2, 32, 2)])
def test_a_rewritten_convolution_computes_the_same(
    however_small: None, kind: str, batch: int, height: int, width: int
) -> None:
    image = random_array(batch, CHANNELS, height, width)
    expected = run_openvino(make_model(kind, list(image.shape)), [image])
    for size in (batch, -1):
        model = make_model(kind, [size, *image.shape[1:]])
        assert transform_large(model) == 1
        assert kernel_sizes(model) == {(1, 4)}
        found = run_openvino(model, [image])
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", [STRIDED, TRANSPOSED])
@pytest.mark.parametrize(
    ("image", "options"),
    [
        ([1, CHANNELS, 12, 16], {}),
        ([1, CHANNELS, -1, 16], {}),
        ([1, CHANNELS, 16, -1], {}),
        ([1, CHANNELS, 16, 16], {"size": 2}),
        ([1, CHANNELS, 16, 16], {"stride": 1}),
        ([1, CHANNELS, 16, 16], {"pad": 0}),
        ([1, CHANNELS, 16, 16], {"dtype": np.float16}),
    ],
)
def test_other_convolutions_stay(however_small: None, kind: str, image: list[int], options: dict[str, Any]) -> None:
    model = make_model(kind, image, **options)
    before = [node.get_friendly_name() for node in model.get_ordered_ops()]
    assert transform_large(model) == 0
    assert [node.get_friendly_name() for node in model.get_ordered_ops()] == before


def test_a_transposed_convolution_with_an_output_shape_of_its_own_stays(however_small: None) -> None:
    x = opset13.parameter([1, CHANNELS, 16, 16], np.float32, name="x")
    y = opset13.convolution_backprop_data(
        x, opset13.constant(random_array(CHANNELS, KERNELS, 4, 4)), [2, 2], output_shape=opset13.constant([33, 33])
    )
    assert transform_large(openvino.Model([y], [x])) == 0


@pytest.mark.parametrize(("kind", "reuse"), [(STRIDED, 16), (TRANSPOSED, 64)])
def test_what_is_large_is_counted_in_multiplications_and_in_how_often_a_weight_is_used(
    monkeypatch: pytest.MonkeyPatch, kind: str, reuse: int
) -> None:
    """8 x 8 -> 4 x 4: each weight is used 16 times; 8 x 8 -> 16 x 16: a quarter of the kernel at each place, so 64."""
    for min_reuse, min_work, rewritten in (
        (reuse, reuse * CHANNELS * KERNELS * 16, 1),
        (reuse + 1, 0, 0),
        (0, reuse * CHANNELS * KERNELS * 16 + 1, 0),
    ):
        monkeypatch.setattr(winograd, "MIN_REUSE", min_reuse)
        monkeypatch.setattr(winograd, "MIN_WORK", min_work)
        assert transform_large(make_model(kind, [1, CHANNELS, 8, 8])) == rewritten
