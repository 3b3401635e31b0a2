"""`limner build`: turn a model bundle into an engine that is proven to be the same generator."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limner.core.runs import ENGINES, MODEL, find_model
from limner.core.util.cli import parse
from limner.core.util.errors import run_command
from limner.core.util.log import log
from limner.deploy.build import BuildOptions, build
from limner.deploy.manifest import Manifest


@dataclass(frozen=True)
class Command(BuildOptions):
    """Build an engine for this machine from a model bundle, compare it with the bundle and measure it."""

    model: str = ""
    """A model bundle, or a run that has one; left out: the newest run."""
    out: str = ""
    """The engine directory to make; left out: engines/NAME, by the run's name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, and tell where the engine is and how it compares."""
    command = parse(Command, arguments, prog="limner build")
    model = find_model(command.model)
    name = model.parent.name if model.name == MODEL else model.name
    out = Path(command.out) if command.out else ENGINES / name
    log.info(summary(build(model, out, command)))
    log.info(f"engine: {out}")
    log.info(f"next: limner bench infer --model {model} --engine {out}")


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
