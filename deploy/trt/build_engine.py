"""`limner build`: build an engine from a model bundle and check its parity with the bundle."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limner.core.runs import ENGINES, MODEL, find_model
from limner.core.util.cli import parse
from limner.core.util.errors import run_command
from limner.core.util.log import log
from limner.core.util.timing import describe_speed
from limner.deploy.backends import refuse_unsupported
from limner.deploy.manifest import Manifest
from limner.deploy.options import BuildOptions


@dataclass(frozen=True)
class Command(BuildOptions):
    """Build an engine for this machine from a model bundle, compare it with the bundle and time it."""

    model: str = ""
    """A model bundle, or a run that has one; left out: the newest run."""
    out: str = ""
    """The engine directory to write; left out: engines/NAME, by the run's name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, and print where the engine is and how it compares; arguments: None: those of this process."""
    command = parse(Command, arguments, prog="limner build")
    from limner.deploy.build import build, resolve  # torch: only after the help

    backend, _ = resolve(command, lambda line: None)
    refuse_unsupported(backend, _given(sys.argv[1:] if arguments is None else arguments))
    model = find_model(command.model)
    named = model.parent if model.name == MODEL else model
    out = Path(command.out) if command.out else ENGINES / named.name
    log.info(summary(build(model, out, command)))
    log.info(f"engine: {out}")
    log.info(f"next: limner bench infer --model {named} --engine {out}")


def _given(arguments: Sequence[str]) -> list[str]:
    """Names of the options on a command line, which unlike BuildOptions.given() include those set to their default."""
    return [word[2:].partition("=")[0].replace("_", "-") for word in arguments if word.startswith("--")]


def summary(manifest: Manifest) -> str:
    """Describe precision, parity and latency in a few lines."""
    precision = manifest.precision
    lines = [
        f"precision: requested {precision.requested}, stored {precision.stored}, "
        f"executed {precision.executed or 'unknown'}",
        f"parity: {'not run' if manifest.parity is None else _worst(manifest.parity)}",
    ]
    if manifest.onnx_parity is not None:
        lines.append(f"parity of the ONNX graph: {_worst(manifest.onnx_parity)}")
    if manifest.latency is not None:
        latency = manifest.latency
        speed = describe_speed(latency.speedup, "torch")
        lines.append(
            f"latency: {latency.engine_ms:.1f} ms per batch of {latency.batch}, {speed} "
            f"(eager fp32, {latency.eager_fp32_ms:.1f} ms); medians of {latency.rounds} interleaved runs"
        )
    return "\n".join(lines)


def _worst(parity: dict[str, Any]) -> str:
    """The worst values of a parity report over its batch sizes."""
    batches = parity["batches"]
    values = {name: [report[name] for report in batches.values()] for name in ("max_abs", "psnr_db", "ssim")}
    return (
        f"max-abs {max(values['max_abs']):.2g}, PSNR {min(values['psnr_db']):.1f} dB, "
        f"SSIM {min(values['ssim']):.4f} at worst, batches {', '.join(batches)}"
    )


if __name__ == "__main__":
    run_command(main)
