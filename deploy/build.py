"""From a bundle to an engine directory: export, build, check parity, time, and only then put in place."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from limner.core.bundle import bundle_hash, load_bundle_config, load_generator
from limner.core.util.errors import LimnerError, UserError
from limner.core.util.files import atomic_directory, sha256
from limner.core.util.log import log
from limner.deploy.backends import (
    BACKENDS,
    INSTALL_ENGINES,
    BackendName,
    explain_missing,
    load_builder,
    refuse_unsupported,
)
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.builder import BuildJob, EngineBuilder
from limner.deploy.engine import ANY_BATCH, Engine, open_runtime
from limner.deploy.inputs import Inputs, calibration_inputs, parity_inputs
from limner.deploy.latency import measure_latency
from limner.deploy.manifest import GRAPH, Manifest, Precision, PrecisionReport, Source, write_manifest
from limner.deploy.options import BuildOptions
from limner.deploy.parity import check_parity
from limner.deploy.runtimes.pytorch import TorchRuntime


def build(model: Path, out: Path, options: BuildOptions, report: Callable[[str], None] = log.info) -> Manifest:
    """Build the engine directory `out` from the bundle `model`, check its parity, and return its manifest.

    report: called with a line about each step. The directory is written under a temporary name: if anything fails,
    nothing is left.
    Raises UserError for options that cannot be met and where `out` exists, LimnerError where the engine differs from
    the bundle beyond tolerance or does not run in the precision requested.
    """
    config = load_bundle_config(model)
    batch = BatchProfile(*options.batch)
    backend, precision = resolve(options, report)
    refuse_unsupported(backend, options.given())
    builder: EngineBuilder = load_builder(backend).make_builder(backend, options)
    builder.check_precision(precision)
    if out.exists():
        raise UserError(f"{out} exists: give another --out, or remove it to build again")
    signature = config.signature
    inputs = parity_inputs(signature, batch.maximum, options.data)
    calibration = calibration_inputs(signature, options.data) if precision == "int8" else []
    source = Source(bundle_hash(model), config.task, config.image_size, config.fit, config.styles, config.default_style)
    with atomic_directory(out, replace=False) as directory:
        job = BuildJob(
            directory=directory,
            generator=load_generator(model),
            float_signature=signature,
            signature=signature.as_uint8() if options.pixels else signature,
            batch=batch,
            precision=precision,
            report=report,
        )
        report(f"{model}: exporting for {backend} {builder.version()}, {precision}, on {builder.device()}")
        with explain_missing("exporting a graph", INSTALL_ENGINES):
            from limner.deploy.graph.assemble import write_graph

            write_graph(job, calibration)
        onnx_parity = _onnx_parity(job, inputs) if builder.device_type == "cuda" else None
        builder.build(job)
        manifest = Manifest(
            source=source,
            backend=backend,
            backend_version=builder.version(),
            precision=_precision(builder, job),
            batch=batch,
            signature=job.signature,
            device=builder.device(),
            options=builder.options(),
            files={file.name: sha256(file) for file in sorted(directory.iterdir())},
            parity=None,
            onnx_parity=onnx_parity,
        )
        if builder.runs_here:
            manifest = _compared(manifest, builder, job, inputs)
        else:
            report("this machine cannot run the engine: only its ONNX graph was compared")
        write_manifest(directory, manifest)
    return manifest


def resolve(options: BuildOptions, report: Callable[[str], None]) -> tuple[BackendName, Precision]:
    """Decide "auto" of backend and precision for this machine; report a GPU that is left unused."""
    backend: BackendName = "openvino" if options.backend == "auto" else options.backend
    if options.backend == "auto" and torch.cuda.is_available():
        tensorrt = BACKENDS["tensorrt"]
        if importlib.util.find_spec(tensorrt.package) is None:
            report(f"there is a GPU but no TensorRT, so the engine is for OpenVINO on the CPU: {tensorrt.install}")
        else:
            backend = "tensorrt"
    return backend, BACKENDS[backend].default_precision if options.precision == "auto" else options.precision


def _onnx_parity(job: BuildJob, inputs: Inputs) -> dict[str, object]:
    """Compare the ONNX graph of a GPU engine, so that its errors and those of the plan can be distinguished."""
    with explain_missing("parity of the ONNX graph", INSTALL_ENGINES):
        from limner.deploy.runtimes.onnxruntime import OnnxRuntime
    job.report(f"comparing the ONNX graph with the bundle at batch {_sizes(job)}")
    with Engine(GRAPH, job.signature, job.batch, OnnxRuntime(job.directory / GRAPH)) as graph:
        return check_parity(graph, _eager(job), inputs, job.precision)


def _precision(builder: EngineBuilder, job: BuildJob) -> PrecisionReport:
    requested, executed = job.precision, builder.executed_precision(job)
    if executed is None and builder.runs_here:
        job.report(f"warning: the engine's own report names no types: whether it runs in {requested} is unknown")
    if executed not in (requested, None) and requested not in builder.storage_only:
        raise LimnerError(
            f"requested {requested}, but most convolutions of the engine run in {executed}: it is not kept"
        )
    return PrecisionReport(requested, stored="fp32" if requested == "bf16" else requested, executed=executed)


def _compared(manifest: Manifest, builder: EngineBuilder, job: BuildJob, inputs: Inputs) -> Manifest:
    """The manifest with parity and latency of the engine."""
    runtime = open_runtime(job.directory, manifest, manifest.options)
    with Engine("the engine", job.signature, job.batch, runtime) as engine:
        job.report(f"comparing the engine with the bundle at batch {_sizes(job)}")
        parity = check_parity(engine, _eager(job), inputs, job.precision)
        smallest = {name: values[: job.batch.minimum] for name, values in inputs.items()}
        job.report("timing the engine against the bundle in eager fp32")
        job.generator.to(builder.device_type)  # parity was with the CPU: GPUs round fp32 convolutions to TF32
        return replace(manifest, parity=parity, latency=measure_latency(engine, _eager(job), smallest))


def _eager(job: BuildJob) -> Engine:
    return Engine("bundle", job.float_signature, ANY_BATCH, TorchRuntime(job.generator))


def _sizes(job: BuildJob) -> str:
    return ", ".join(map(str, job.batch.parity_sizes()))
