"""The environment of a measurement: hardware, versions, revision, date and command."""

import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from limner.core.training.precision import has_fast_bf16
from limner.core.util.machine import cpu_name, nvidia_driver, output_of, version_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "numpy", "nvidia-dali-cuda130", "ray", "onnxruntime", "openvino", "tensorrt", "torch-tensorrt")


def describe(device: torch.device, threads: int, command: str) -> dict[str, Any]:
    """Build the environment block of a row; command: see `command_line`."""
    return {
        "hardware": hardware(device),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "fast_bf16": has_fast_bf16(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "driver": nvidia_driver(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := version_of(name))},
        "cuda": torch.version.cuda,
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "git": revision(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
    }


def hardware(device: torch.device) -> str:
    """Name the machine class in short, such as amd-epyc-2c or nvidia-h200; results are filed under it.

    Virtual machines hide a CPU's model, so hardware bf16, which tells generations apart, is part of a CPU's name.
    """
    if device.type == "cuda":
        return _slug(torch.cuda.get_device_name(device))
    return f"{_slug(cpu_name())}-{os.cpu_count()}c" + ("-bf16" if has_fast_bf16(device) else "")


def revision() -> str | None:
    """Return the checked-out commit, with a + if the working tree differs from it; None outside a checkout."""
    commit = output_of("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return None
    changed = output_of("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return commit + ("+" if changed else "")


def command_line(topic: str, arguments: Sequence[str] | None) -> str:
    """Return the command that repeats a benchmark, with what it reads from the environment.

    arguments: without the program's name; None: those of this process.
    """
    words = ["limner", "bench", topic, *(sys.argv[1:] if arguments is None else arguments)]
    policy = os.environ.get("OMP_WAIT_POLICY")
    return shlex.join(words) if policy is None else f"OMP_WAIT_POLICY={policy} {shlex.join(words)}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(.*?\)", "", name).lower()).strip("-")
