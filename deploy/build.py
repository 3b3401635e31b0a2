"""From a bundle to a proven engine directory: export, build, compare, measure, and only then put in place."""

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from onnx import ModelProto

from limner.core.bundle import bundle_hash, bundle_signature, load_bundle_config, load_generator
from limner.core.util.errors import LimnerError, UserError
from limner.core.util.files import sha256
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.engine import ANY_BATCH, Engine, open_runtime
from limner.deploy.graph.export import export_onnx, save_onnx, to_half, with_pixels
from limner.deploy.graph.quantise import quantise
from limner.deploy.inputs import Inputs, calibration_inputs, proof_inputs
from limner.deploy.latency import measure_latency
from limner.deploy.manifest import Backend, Hint, Manifest, Precision, PrecisionReport, Source, write_manifest
from limner.deploy.parity import verify
from limner.deploy.runtimes.onnxruntime import OnnxRuntime, OnnxRuntimeTarget
from limner.deploy.runtimes.openvino.runner import OpenVinoTarget
from limner.deploy.runtimes.pytorch import TorchRuntime
from limner.deploy.target import GRAPH, Target, Work
from limner.deploy.trt.builder import INSTALL, TensorRTOptions, TensorRTTarget
from limner.deploy.trt.torch_trt import TorchTensorRTTarget


@dataclass(frozen=True)
class BuildOptions:
    """What engine to make."""

    backend: Backend | Literal["auto"] = "auto"
    """auto: tensorrt where there are an NVIDIA GPU and the tensorrt package, else openvino."""
    precision: Precision | Literal["auto"] = "auto"
    """auto: fp32 for openvino and onnxruntime, fp16 for the others."""
    batch: tuple[int, int, int] = (1, 8, 32)
    """The smallest batch that it takes, the one that it is tuned for, and the largest."""
    data: Path | None = None
    """A prepared dataset whose images calibrate int8 and are compared; left out: drawn noise is compared."""
    pixels: bool = False
    """Pictures as uint8 NHWC in and out of the graph itself."""
    threads: int = 0
    """Threads of a CPU engine; 0: as many as its runtime thinks best."""
    hint: Hint = "latency"
    """What a CPU engine is tuned for."""
    tensorrt: TensorRTOptions = field(default_factory=TensorRTOptions)


def build(model: Path, out: Path, options: BuildOptions, report: Callable[[str], None] = print) -> Manifest:
    """Make the engine directory `out`, proven to be the same generator as the bundle `model`; returns its manifest.

    report: told of each step in a line. The directory is written aside and renamed: if anything fails, nothing is left.
    Raises UserError for options that cannot be met and where `out` exists, LimnerError where the engine differs from
    the bundle beyond tolerance or does not run in the precision asked for.
    """
    config = load_bundle_config(model)
    batch = BatchProfile(*options.batch)
    backend, precision = resolve(options, report)
    target = make_target(backend, options)
    target.check(precision)
    if out.exists():
        raise UserError(f"{out} exists: give another --out, or remove it to build again")
    signature = bundle_signature(config)
    work = Work(
        directory=out.with_name(f".{out.name}.new"),
        generator=load_generator(model),
        floats=signature,
        signature=signature.as_uint8() if options.pixels else signature,
        batch=batch,
        precision=precision,
        report=report,
    )
    proof = proof_inputs(signature, batch.maximum, options.data)
    calibration = calibration_inputs(signature, options.data) if precision == "int8" else []
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work.directory, ignore_errors=True)
    work.directory.mkdir()
    try:
        report(f"{model}: exporting for {backend} {target.version()}, {precision}, on {target.device()}")
        save_onnx(make_graph(work, calibration), work.directory / GRAPH)
        target.make(work)
        manifest = Manifest(
            source=Source(bundle_hash(model), config.task, config.image_size, config.fit, tuple(config.styles)),
            backend=backend,
            backend_version=target.version(),
            precision=_precision(target, work, report),
            batch=batch,
            signature=work.signature,
            device=target.device(),
            options=target.settings(),
            files={file.name: sha256(file) for file in sorted(work.directory.iterdir())},
            parity="not run",
        )
        manifest = _prove(manifest, target, work, proof, report)
        write_manifest(work.directory, manifest)
        work.directory.rename(out)
    except BaseException:
        shutil.rmtree(work.directory, ignore_errors=True)
        raise
    return manifest


def resolve(options: BuildOptions, report: Callable[[str], None]) -> tuple[Backend, Precision]:
    """Backend and precision with "auto" decided for this machine; reports a GPU that is left unused."""
    backend: Backend = "openvino" if options.backend == "auto" else options.backend
    if options.backend == "auto" and torch.cuda.is_available():
        if importlib.util.find_spec("tensorrt") is None:
            report(f"there is a GPU but no TensorRT, so the engine is for OpenVINO on the CPU: {INSTALL['tensorrt']}")
        else:
            backend = "tensorrt"
    default: Precision = "fp32" if backend in ("openvino", "onnxruntime") else "fp16"
    return backend, default if options.precision == "auto" else options.precision


def make_target(backend: Backend, options: BuildOptions) -> Target:
    """The backend with its options; UserError where it is not to be had here, or has none of the options given."""
    if backend in ("openvino", "onnxruntime") and options.tensorrt != TensorRTOptions():
        raise UserError(f"tensorrt.*: {backend} has no such options: leave them out, or give --backend tensorrt")
    if backend == "openvino":
        return OpenVinoTarget(options.threads, options.hint)
    if backend == "onnxruntime":
        return OnnxRuntimeTarget(options.threads, options.hint)
    if backend == "torch-tensorrt":
        return TorchTensorRTTarget(options.tensorrt)
    return TensorRTTarget(backend, options.tensorrt)


def make_graph(work: Work, calibration: Sequence[Inputs]) -> ModelProto:
    """The ONNX graph that an engine stores; bf16 is a matter of the runtime, and stored as fp32.

    calibration: inputs of the generator from which int8 finds its ranges.
    """
    graph = export_onnx(work.generator, work.floats)
    if work.precision == "fp16":
        graph = to_half(graph)
    elif work.precision == "int8":
        graph = quantise(graph, calibration)
    return graph if work.signature == work.floats else with_pixels(graph)


def _precision(target: Target, work: Work, report: Callable[[str], None]) -> PrecisionReport:
    asked, found = work.precision, target.executed(work)
    if found == "unknown" and target.runs_here:
        report(f"warning: the engine's own report names no types, so that it runs in {asked} is not proven")
    if found not in (asked, "unknown") and asked not in target.storage_only:
        raise LimnerError(f"asked for {asked}, but most convolutions of the engine run in {found}: it is not kept")
    return PrecisionReport(asked=asked, stored="fp32" if asked == "bf16" else asked, executed=found)


def _prove(manifest: Manifest, target: Target, work: Work, inputs: Inputs, report: Callable[[str], None]) -> Manifest:
    """The manifest with parity and latency, where this machine can run the engine.

    Of a GPU engine the ONNX graph is compared too, so that its errors and those of the plan are told apart.
    """
    eager = Engine("bundle", work.floats, ANY_BATCH, TorchRuntime(work.generator))
    sizes = ", ".join(map(str, work.batch.parity_sizes()))
    if target.device_type == "cuda":
        report(f"comparing the ONNX graph with the bundle at batch {sizes}")
        with Engine(GRAPH, work.signature, work.batch, OnnxRuntime(work.directory / GRAPH)) as graph:
            manifest = replace(manifest, onnx_parity=verify(graph, eager, inputs, work.precision))
    if not target.runs_here:
        report("this machine cannot run the engine: only its ONNX graph was compared")
        return manifest
    runtime = open_runtime(work.directory, manifest, manifest.options)
    with Engine(str(work.directory), work.signature, work.batch, runtime) as engine:
        report(f"comparing the engine with the bundle at batch {sizes}")
        parity = verify(engine, eager, inputs, work.precision)
        smallest = {name: values[: work.batch.minimum] for name, values in inputs.items()}
        report("measuring latency beside the bundle in eager fp32")
        work.generator.to(target.device_type)  # parity was against the CPU: GPUs round fp32 convolutions to TF32
        beside = Engine("bundle", work.floats, ANY_BATCH, TorchRuntime(work.generator))
        return replace(manifest, parity=parity, latency=measure_latency(engine, beside, smallest))
