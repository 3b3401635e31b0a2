"""Nodes of ONNX graphs, and how a graph's nodes are replaced: what all rewrites share."""

import copy
from typing import Any

from onnx import ModelProto, NodeProto, helper


def make_node(op_type: str, output: str, *inputs: str, **attributes: Any) -> NodeProto:
    """A node with a unique name."""
    return helper.make_node(
        op_type, list(inputs), [output], name=f"{op_type}_{'_'.join(inputs)}_to_{output}", **attributes
    )


def make_cast(name: str, output: str, to: int) -> NodeProto:
    """A Cast of the tensor `name` to the TensorProto type `to`."""
    return make_node("Cast", output, name, to=to)


def rename_tensor(nodes: list[NodeProto], old: str, new: str) -> None:
    """Rename a tensor wherever `nodes` read or write it."""
    for node in nodes:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = new if name == old else name


def replace_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    """Replace all nodes of a graph by `nodes`, some of which may be its own; drop the shapes inferred before."""
    copies = [copy.deepcopy(node) for node in nodes]  # the list may hold nodes of the graph that is emptied next
    del model.graph.node[:]
    del model.graph.value_info[:]
    model.graph.node.extend(copies)
