"""Record golden curves, which a refactoring must not change: `python tests/record_golden.py [CASE ...]`.

Each case trains for 20 steps on the CPU, in fp32, with one thread. Its file in tests/assets/golden holds the losses of
every step, a SHA-256 of every tensor of the last checkpoint, and the machine class that computed them.
"""

import hashlib
import json
import platform
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from limner.core.config import CadenceConfig, LaunchConfig, OptimizerConfig, TrainConfig
from limner.core.networks.config import DCGANDiscriminatorConfig, DCGANGeneratorConfig, PatchGANConfig, UNetConfig
from limner.core.spec import RunSpec, prepare_run_dir
from limner.core.tasks.dcgan.config import DCGANConfig
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.training.checkpoint import load_newest
from limner.data_pipeline.importers.prepare import PrepareOptions
from limner.data_pipeline.importers.synthetic import import_synthetic
from limner.data_pipeline.index import load_dataset
from limner.distributed.context import WorkerContext
from limner.distributed.worker import run_worker

GOLDEN = Path(__file__).parent / "assets" / "golden"
STEPS = 20
GROUPS = ("loss", "discriminator", "penalty")
"""Of metrics: those of the objective."""
PAIRS = 20
"""All of them train, so that steps times the global batch of each case is a whole number of epochs."""

COMMON: dict[str, Any] = {"image_size": 64, "precision": "fp32", "ema_halflife_images": 20.0, "seed": 3}
LR = 2e-6
"""Adam's first steps have the size of the rate and the sign of the gradient, also where that is rounding noise: at the
usual rates losses of two instruction sets are 1e-3 apart after 20 steps."""
PIX2PIX = Pix2PixConfig(
    **COMMON,
    batch_size=2,
    generator=UNetConfig(width=4, styles=0),
    discriminator=PatchGANConfig(width=4, layers=2),
    optimizer=OptimizerConfig(lr=LR),
)
DCGAN = DCGANConfig(
    **COMMON,
    batch_size=4,
    generator=DCGANGeneratorConfig(latent=8, width=4),
    discriminator=DCGANDiscriminatorConfig(width=4),
    optimizer=OptimizerConfig(lr=LR, discriminator_lr_factor=2.0),
    r1_weight=1.0,
    penalty_interval=4,
)
CASES: dict[str, TrainConfig] = {
    "pix2pix-instance": PIX2PIX,
    "pix2pix-styles": replace(PIX2PIX, generator=UNetConfig(width=4, styles=3, upsample="resize"), gan_loss="lsgan"),
    "pix2pix-batch": replace(
        PIX2PIX,
        generator=UNetConfig(width=4, norm="batch", dropout=0.5, styles=0),
        discriminator=PatchGANConfig(width=4, layers=2, norm="batch"),
    ),
    "pix2pix-accumulate": replace(PIX2PIX, batch_size=1, accumulate=2, gan_loss="hinge"),
    "dcgan-paper": replace(
        DCGAN,
        generator=DCGANGeneratorConfig("paper", latent=8, width=4),
        discriminator=DCGANDiscriminatorConfig("paper", width=4),
        gan_loss="bce",
    ),
    "dcgan-modern": replace(DCGAN, r2_weight=0.5, condition="style"),
}


def machine_class() -> dict[str, str]:
    """What must be equal for sums to be rounded alike: processor, instruction set, torch."""
    info = Path("/proc/cpuinfo")
    fields = ("vendor_id", "cpu family", "model")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    values = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    cpu = " ".join(values.get(name, "?") for name in fields) if values else platform.machine()
    return {"cpu": cpu, "capability": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}


def make_data(out: Path) -> Path:
    """The drawn pairs that all cases learn from."""
    import_synthetic(PAIRS, out, PrepareOptions(size=72, format="png", val_fraction=0.0))
    return out


def record(case: str, data: Path, scratch: Path) -> dict[str, Any]:
    """Train a case for 20 steps: its losses by step and the SHA-256 of each tensor of its checkpoint."""
    config = CASES[case]
    step_images = config.batch_size * config.accumulate
    config = replace(config, epochs=STEPS * step_images // PAIRS, cadence=CadenceConfig(report_images=step_images))
    launch = LaunchConfig(launcher="local", loader="reference", cpus_per_worker=1)
    task = case.partition("-")[0]
    spec = RunSpec(task, case, config, launch, scratch / case, data, load_dataset(data).content_hash)
    prepare_run_dir(spec)
    context = WorkerContext(0, 1, torch.device("cpu"), 1, threading.Event(), lambda progress: None)
    assert run_worker(spec, context)
    lines = [json.loads(line) for line in (spec.run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == STEPS
    names = sorted({name for line in lines for name in line if name.partition("/")[0] in GROUPS})
    state, _ = load_newest(spec.run / "checkpoints")
    assert state is not None
    return {
        "machine_class": machine_class(),
        "losses": {name: [line.get(name) for line in lines] for name in names},
        "checksums": dict(checksums({**state["networks"], "ema": state["averages"]["generator"]})),
    }


def checksums(networks: Mapping[str, Mapping[str, torch.Tensor]]) -> Iterator[tuple[str, str]]:
    """NETWORK.TENSOR and the SHA-256 of its bytes, in hexadecimal."""
    for network, tensors in networks.items():
        for name, tensor in tensors.items():
            yield f"{network}.{name}", hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def main() -> None:
    """Rewrite the files of the cases named, or of all."""
    with tempfile.TemporaryDirectory() as scratch:
        data = make_data(Path(scratch) / "data")
        for case in sys.argv[1:] or CASES:
            values = record(case, data, Path(scratch))
            path = GOLDEN / f"{case}.json"
            path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
            print(f"{path}: {len(values['losses'])} losses, {len(values['checksums'])} tensors")


if __name__ == "__main__":
    main()
