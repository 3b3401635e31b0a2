"""The graph file of an engine: exported, in the precision requested, with float or uint8 images."""

from collections.abc import Sequence

from limner.deploy.builder import BuildJob
from limner.deploy.graph.export import export_onnx, save_onnx
from limner.deploy.graph.half import to_half
from limner.deploy.graph.uint8 import with_uint8_io
from limner.deploy.inputs import Inputs
from limner.deploy.manifest import GRAPH


def write_graph(job: BuildJob, calibration: Sequence[Inputs]) -> None:
    """Write the ONNX graph that the engine is built from; bf16 is up to the runtime, and stored as fp32.

    calibration: inputs of the generator from which int8 finds its ranges.
    """
    graph = export_onnx(job.generator, job.float_signature)
    if job.precision == "fp16":
        graph = to_half(graph)
    elif job.precision == "int8":
        from limner.deploy.graph.int8 import quantise  # needs ONNX Runtime

        graph = quantise(graph, calibration)
    if job.signature != job.float_signature:
        graph = with_uint8_io(graph)
    save_onnx(graph, job.directory / GRAPH)
