"""What this machine is, as far as its operating system says; nothing here needs more than Python."""

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CPU_FEATURES = {
    "AVX2": "avx2",
    "AVX-512": "avx512f",
    "AVX-512 VNNI": "avx512_vnni",
    "AVX-512 bf16": "avx512_bf16",
    "AVX VNNI": "avx_vnni",
    "AMX bf16": "amx_bf16",
    "AMX int8": "amx_int8",
    "NEON": "asimd",
    "Arm bf16": "bf16",
    "Arm int8": "i8mm",
}
"""Instruction sets that decide how fast networks run, by their flags in Linux' /proc/cpuinfo."""
CGROUP = Path("/sys/fs/cgroup")


def cpu_name() -> str:
    """The processor as its maker calls it, as far as the system says."""
    name = _cpuinfo("model name")
    if name is None and sys.platform == "darwin":
        name = output_of("sysctl", "-n", "machdep.cpu.brand_string")
    return name or platform.processor() or platform.machine()


def cpu_features() -> list[str] | None:
    """Names in CPU_FEATURES that the processor has; None where the system does not say."""
    flags = _cpuinfo("flags") or _cpuinfo("Features")
    return None if flags is None else [name for name, flag in CPU_FEATURES.items() if flag in flags.split()]


def usable_cores() -> int:
    """Cores that this process may run on: not those that its affinity excludes, nor more than a container's share."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cgroup_cores(CGROUP)
    return cores if share is None else max(1, min(cores, int(share)))


def cgroup_cores(root: Path) -> float | None:
    """Cores' worth of time that a container may use, by the files of its cgroup (version 2, else 1); None: no limit."""
    quota, period = (_read(root / "cpu.max") or "max 0").split()
    if quota == "max":
        quota = _read(root / "cpu" / "cpu.cfs_quota_us") or "-1"
        period = _read(root / "cpu" / "cpu.cfs_period_us") or "100000"
    return int(quota) / int(period) if int(quota) > 0 else None


def memory_bytes() -> tuple[int, int] | None:
    """(total, free for use) of the machine, or of the container if that has less; None if the system does not say."""
    found = dict(line.split(":", 1) for line in (_read(Path("/proc/meminfo")) or "").splitlines())
    if "MemAvailable" in found:
        total, free = (1024 * int(found[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        return None
    limit, used = _read(CGROUP / "memory.max"), _read(CGROUP / "memory.current")
    if limit is not None and used is not None and limit.isdecimal():
        total, free = min(total, int(limit)), min(free, int(limit) - int(used))
    return total, free


def free_disk_bytes(path: Path) -> int:
    """Space that is free where `path` is or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def nvidia_driver() -> str | None:
    """The version of the NVIDIA driver, or None."""
    found = output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return found.splitlines()[0] if found else None


def version_of(*distributions: str) -> str | None:
    """The version of the first of these Python distributions that is installed."""
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def output_of(*command: str) -> str | None:
    """What a program prints, or None where it is missing, fails or prints nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _cpuinfo(field: str) -> str | None:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
