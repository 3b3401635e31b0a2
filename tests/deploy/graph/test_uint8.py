from collections.abc import Callable

import numpy as np
import pytest
import torch
from onnx import ModelProto
from torch import nn

from limner.core.batch import to_images, to_tensor
from limner.core.signature import Signature
from limner.deploy.graph.export import check_onnx
from limner.deploy.graph.half import to_half
from limner.deploy.graph.uint8 import with_uint8_io
from tests.deploy.graph.conftest import every_case, inputs_and_image, run

GetCase = Callable[[str], tuple[nn.Module, Signature, ModelProto]]


def test_rewrites_do_not_change_the_graph_that_they_are_given(case: GetCase) -> None:
    graph = case("instance")[2]
    before = graph.SerializeToString(deterministic=True)
    with_uint8_io(to_half(graph))
    assert graph.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("half", [False, True])
@every_case
def test_uint8_in_the_graph_is_the_image_contract(case: GetCase, name: str, half: bool) -> None:
    generator, signature, graph = case(name)
    inputs, _ = inputs_and_image(generator, signature, 2)
    floats = dict(inputs)
    if "photo" in inputs:
        inputs["photo"] = to_images(torch.from_numpy(inputs["photo"]))
        floats["photo"] = to_tensor(inputs["photo"]).numpy()
    graph = to_half(graph) if half else graph
    rewritten = with_uint8_io(graph)
    check_onnx(rewritten)
    images = run(rewritten, inputs)
    assert images.dtype == np.uint8
    expected = to_images(torch.from_numpy(run(graph, floats)))
    assert np.abs(images.astype(int) - expected).max() <= 1  # a value on the boundary may fall to either side
    assert (images == expected).mean() > 0.999
