import os
import sys
from pathlib import Path

import pytest

from limner.core.util.machine import (
    CPU_FEATURES,
    cgroup_cores,
    cpu_features,
    cpu_name,
    free_disk_bytes,
    memory_bytes,
    output_of,
    usable_cores,
    version_of,
)


def test_the_processor_has_a_name_and_known_features() -> None:
    assert cpu_name()
    assert cpu_features() is None or set(cpu_features() or ()) <= set(CPU_FEATURES)


def test_usable_cores_are_at_most_those_of_the_affinity() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        try:
            assert usable_cores() == 1
        finally:
            os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
    ],
)
def test_a_containers_share_of_the_cores(tmp_path: Path, files: dict[str, str], cores: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert cgroup_cores(tmp_path) == cores


@pytest.mark.skipif(sys.platform != "linux", reason="other systems say less")
def test_free_memory_is_less_than_all() -> None:
    found = memory_bytes()
    assert found is not None
    assert 0 < found[1] < found[0]


def test_free_disk_space_is_that_of_the_nearest_parent(tmp_path: Path) -> None:
    assert free_disk_bytes(tmp_path / "not" / "yet") == pytest.approx(free_disk_bytes(tmp_path), rel=0.1)


def test_a_program_that_is_missing_or_fails_prints_nothing() -> None:
    assert output_of(sys.executable, "-c", "print('hello')") == "hello"
    assert output_of(sys.executable, "-c", "raise SystemExit(1)") is None
    assert output_of("no-such-program-here") is None


def test_the_version_is_that_of_the_first_distribution_that_is_installed() -> None:
    assert version_of("no-such-distribution", "pytest") == pytest.__version__
    assert version_of("no-such-distribution") is None
