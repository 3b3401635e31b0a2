"""A small bundle, and a way to run a benchmark in this process and read its rows."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.core.bundle import BundleConfig, save_bundle
from limner.core.networks.config import UNetConfig
from limner.core.networks.init import init_weights

RunBenchmark = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle as a run leaves it: runs/small/model."""
    directory = tmp_path_factory.mktemp("work") / "runs" / "small" / "model"
    config = BundleConfig("pix2pix", 64, "pad", (), UNetConfig(width=8, depth=5))
    generator = config.build()
    init_weights(generator, seed=0, std=0.1)
    save_bundle(directory, generator, config)
    return directory


@pytest.fixture
def run_benchmark(tmp_path: Path) -> Iterator[RunBenchmark]:
    """Call (main, arguments), with one thread and --quick, and return the rows that it wrote under tmp_path/results."""
    threads = torch.get_num_threads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()

    def run(main: Callable[[Sequence[str]], None], *arguments: str) -> list[dict[str, Any]]:
        out = tmp_path / "results"
        main([*arguments, "--quick", "--threads", "1", "--out", str(out)])
        (newest,) = out.glob("*.jsonl")
        return [json.loads(line) for line in newest.read_text(encoding="utf-8").splitlines()]

    yield run
    torch.set_num_threads(threads)
    if cores:
        os.sched_setaffinity(0, cores)


CONTRACT = {
    "backend": str,
    "precision": str | None,
    "batch": int | None,
    "scenario": str | None,
    "p50_ms": float | None,
    "p90_ms": float | None,
    "p99_ms": float | None,
    "images_per_s": float | None,
    "vs_baseline": float | None,
    "share_of_limit": float | None,
    "environment": dict,
}


@pytest.fixture
def check_schema() -> Callable[[list[dict[str, Any]]], None]:
    """Check that rows are what docs/design.md promises, and that those without figures say why."""

    def check(rows: list[dict[str, Any]]) -> None:
        assert rows
        for row in rows:
            for name, kind in CONTRACT.items():
                assert isinstance(row[name], kind), f"{name}: {row[name]!r}"
            assert (row["p50_ms"] is None) == (row["note"] is not None)
            if row["p50_ms"] is not None:
                assert 0.0 < row["p10_ms"] <= row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
                assert row["images_per_s"] is None or row["images_per_s"] > 0.0
            for name in ("hardware", "cpu", "cores", "threads", "versions", "git", "date", "command"):
                assert name in row["environment"]

    return check
