"""Turn a model bundle into an engine that is proven to be the same generator: `python deploy/trt/build_engine.py`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.cli import parse
from core.errors import run_command
from core.runs import ENGINES, MODEL, find_model
from deploy.build import BuildRequest, build
from deploy.manifest import Backend, Hint, Manifest, Precision
from deploy.signature import BatchProfile
from deploy.trt.builder import TensorRTOptions


@dataclass(frozen=True)
class Command:
    """Build an engine for this machine from a model bundle, compare it with the bundle and measure it."""

    model: str = ""
    """The bundle; left out: that of the newest run."""
    out: str = ""
    """The engine directory to make; left out: engines/NAME, by the run's name."""
    backend: Literal["auto"] | Backend = "auto"
    """auto: tensorrt where there is an NVIDIA GPU, else openvino."""
    precision: Literal["auto"] | Precision = "auto"
    """auto: fp16 on a GPU, fp32 on a CPU."""
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


def main() -> None:
    """Build, and say where the engine is and how it compares."""
    command = parse(Command)
    model = find_model(command.model)
    name = model.parent.name if model.name == MODEL else model.name
    out = Path(command.out) if command.out else ENGINES / name
    request = BuildRequest(
        model=model,
        out=out,
        backend=command.backend,
        precision=command.precision,
        batch=BatchProfile(*command.batch),
        data=command.data,
        pixels=command.pixels,
        threads=command.threads,
        hint=command.hint,
        tensorrt=command.tensorrt,
    )
    print(summary(build(request)))
    print(f"engine: {out}")
    print(f"next: python scripts/translate.py --engine {out} PHOTO, or python benchmarks/infer.py --engine {out}")


def summary(manifest: Manifest) -> str:
    """Precision, parity and latency in a few lines."""
    precision = manifest.precision
    lines = [f"precision: asked {precision.asked}, stored {precision.stored}, executed {precision.executed}"]
    proofs = {"parity": manifest.parity, "parity of the ONNX graph": manifest.onnx_parity}
    for name, proof in proofs.items():
        if isinstance(proof, str):
            lines.append(f"{name}: {proof}")
        elif proof is not None:
            worst = {
                key: [report[key] for report in proof["batches"].values()] for key in ("max_abs", "psnr_db", "ssim")
            }
            lines.append(
                f"{name}: max-abs {max(worst['max_abs']):.2g}, PSNR {min(worst['psnr_db']):.1f} dB, "
                f"SSIM {min(worst['ssim']):.4f} at worst, batches {', '.join(proof['batches'])}"
            )
    if manifest.latency is not None:
        latency = manifest.latency
        lines.append(
            f"latency: {latency.engine_ms:.1f} ms a batch of {latency.batch}, bundle in eager fp32 "
            f"{latency.eager_fp32_ms:.1f} ms ({latency.share_of_eager:.2f}x); medians of {latency.rounds}, in turns"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
