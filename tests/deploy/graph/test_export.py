from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto
from torch import nn

from limner.core.signature import Signature
from tests.deploy.graph.conftest import every_case, inputs_and_image, run

GetCase = Callable[[str], tuple[nn.Module, Signature, ModelProto]]


@every_case
@pytest.mark.parametrize("batch", [1, 3])
def test_graph_is_the_generator_at_any_batch(case: GetCase, name: str, batch: int) -> None:
    generator, signature, graph = case(name)
    inputs, expected = inputs_and_image(generator, signature, batch)
    assert expected.std() > 0.05  # a flat image would pass any comparison
    np.testing.assert_allclose(run(graph, inputs), expected, atol=2e-5)


@every_case
def test_graph_has_the_signatures_ports_and_opset(case: GetCase, name: str) -> None:
    _, signature, graph = case(name)
    assert [port.name for port in graph.graph.input] == [port.name for port in signature.inputs]
    assert [port.name for port in graph.graph.output] == [signature.output.name]
    assert graph.opset_import[0].version == 18
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@every_case
def test_graph_holds_nothing_of_the_machine_that_exported_it(case: GetCase, name: str) -> None:
    text = str(case(name)[2].SerializeToString())
    assert "site-packages" not in text
    assert ".py" not in text


def test_batch_norms_are_folded_into_convolutions(case: GetCase) -> None:
    assert "BatchNormalization" not in {node.op_type for node in case("batch")[2].graph.node}
