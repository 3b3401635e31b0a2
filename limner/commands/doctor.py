"""`limner doctor`: what this machine has, what is missing, and what Limner chooses where an option is left at auto."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.table import Table

from limner import __version__
from limner.core.util.cli import parse
from limner.core.util.machine import (
    cpu_features,
    cpu_name,
    free_disk_bytes,
    memory_bytes,
    nvidia_driver,
    usable_cores,
    version_of,
)
from limner.core.util.tables import log_table
from limner.core.util.text import count_of
from limner.deploy.backends import BACKENDS
from limner.deploy.options import BuildOptions

PACKAGES: dict[str, tuple[tuple[str, ...], str]] = {
    "torch": (("torch",), "torch"),
    "DALI": (("nvidia-dali-cuda130", "nvidia-dali-cuda120"), "limner[train]"),
    "Ray": (("ray",), "limner[train]"),
    "TensorBoard": (("tensorboard",), "limner[train]"),
    "scikit-image": (("scikit-image",), "limner[engines]"),
    "onnx": (("onnx",), "limner[engines]"),
    "onnxscript": (("onnxscript",), "limner[engines]"),
    "ONNX Runtime": (("onnxruntime", "onnxruntime-gpu"), "limner[engines]"),
    "OpenVINO": (("openvino",), "limner[engines]"),
    "TensorRT": (("tensorrt", "tensorrt-cu13", "tensorrt-cu12"), "limner[gpu]"),
    "Torch-TensorRT": (("torch-tensorrt",), "limner[gpu]"),
    "TensorRT-RTX": (("tensorrt-rtx",), "tensorrt-rtx"),
    "matplotlib": (("matplotlib",), "limner[bench]"),
}
"""What a user calls it -> the distributions that may bring it, and what pip is asked to install."""


@dataclass(frozen=True)
class Command:
    """Show what this machine has, what is missing, and what Limner chooses by itself."""

    json: bool = False
    """Print it as JSON, for a report of a defect."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Examine the machine and print what is found."""
    command = parse(Command, arguments, prog="limner doctor")
    found = examine()
    if command.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


def examine() -> dict[str, Any]:
    """All that the table shows, as plain JSON values; None for what the system does not say."""
    import torch  # only after the help

    from limner.data_pipeline.loading import choose_loader

    memory = memory_bytes()
    return {
        "limner": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": {
            "name": cpu_name(),
            "features": cpu_features(),
            "cores": os.cpu_count(),
            "usable_cores": usable_cores(),
            "torch_threads": torch.get_num_threads(),
        },
        "memory_gb": None if memory is None else {"total": _gb(memory[0]), "free": _gb(memory[1])},
        "disk_free_gb": _gb(free_disk_bytes(Path.cwd())),
        "gpus": [_gpu(number) for number in range(torch.cuda.device_count())],
        "nvidia_driver": nvidia_driver(),
        "torch_cuda": torch.version.cuda,
        "packages": {name: version_of(*names) for name, (names, _) in PACKAGES.items()},
        "auto": {
            name: {"choice": choice, "why": why}
            for name, (choice, why) in {
                "training precision": choose_precision(),
                "loader": choose_loader("auto"),
                "engine backend": choose_backend(),
            }.items()
        },
    }


def choose_precision() -> tuple[str, str]:
    """What `--precision auto` trains in, and why."""
    import torch

    from limner.core.training.precision import has_fast_bf16

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = "the GPU" if device.type == "cuda" else "the CPU"
    if has_fast_bf16(device):
        return "bf16", f"{name} computes in bf16"
    return "fp32", f"{name} has no bf16 arithmetic"


def choose_backend() -> tuple[str | None, str]:
    """What `limner build --backend auto` builds for, and why."""
    try:
        from limner.deploy.build import resolve  # needs scikit-image, which a base installation lacks
    except ModuleNotFoundError:
        return None, f"no backend is installed: {install('limner[engines]')}"
    notes: list[str] = []
    backend, precision = resolve(BuildOptions(), notes.append)
    if find_spec(BACKENDS[backend].package) is None:
        return None, f"{BACKENDS[backend].package} is not installed: {BACKENDS[backend].install}"
    reason = "there are a GPU and TensorRT" if backend == "tensorrt" else "there is no GPU that torch can use"
    return f"{backend}, {precision}", "; ".join(notes) or reason


def install(requirement: str) -> str:
    """The command that installs a package or an extra."""
    return f"pip install '{requirement}'"


def show(found: Mapping[str, Any]) -> None:
    """Print the findings of `examine` as a table."""
    table = Table(show_header=False)
    cpu, memory = found["cpu"], found["memory_gb"]
    table.add_row("Limner", f"{found['limner']}, Python {found['python']}")
    table.add_row("system", found["system"])
    table.add_row("CPU", cpu["name"])
    table.add_row("CPU features", "not known here" if cpu["features"] is None else ", ".join(cpu["features"]) or "none")
    cores = count_of(cpu["usable_cores"], "core")
    table.add_row("cores", f"{cores} usable of {cpu['cores']}; torch uses {count_of(cpu['torch_threads'], 'thread')}")
    table.add_row("memory", f"{memory['free']} GB free of {memory['total']} GB" if memory else "not known here")
    table.add_row("disk", f"{found['disk_free_gb']} GB free here")
    for gpu in found["gpus"]:
        table.add_row("GPU", f"{gpu['name']}, {gpu['memory_gb']} GB, compute capability {gpu['capability']}")
    if not found["gpus"]:
        torch_build = f"CUDA {found['torch_cuda']}" if found["torch_cuda"] else "CPU"
        table.add_row("GPU", f"none that torch can use (a {torch_build} build of torch)")
    table.add_row("NVIDIA driver", found["nvidia_driver"] or "none")
    table.add_section()
    for name, (_, requirement) in PACKAGES.items():
        table.add_row(name, found["packages"][name] or f"missing: {install(requirement)}")
    table.add_section()
    for name, auto in found["auto"].items():
        table.add_row(f"auto {name}", f"{auto['choice'] or 'none'}: {auto['why']}")
    log_table(table)


def _gpu(number: int) -> dict[str, Any]:
    import torch

    properties = torch.cuda.get_device_properties(number)
    return {
        "name": properties.name,
        "memory_gb": _gb(properties.total_memory),
        "capability": f"{properties.major}.{properties.minor}",
    }


def _gb(count: int) -> float:
    return round(count / 1e9, 1)
