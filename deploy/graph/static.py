"""A graph for one image, all of whose shapes are known."""

from pathlib import Path

import onnx

from limner.deploy.graph.export import save_onnx


def fix_batch(path: Path) -> None:
    """Rewrite the graph file `path`, whose batch size is free, to batches of 1."""
    model = onnx.load_model(str(path))
    for port in (*model.graph.input, *model.graph.output):
        port.type.tensor_type.shape.dim[0].dim_value = 1  # a dimension has a value or a name, not both
    save_onnx(model, path)
