import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import openvino
import pytest

from limner.core.util.errors import UserError
from limner.core.util.timing import Candidate, Timing, TimingBudget
from limner.deploy.build import build
from limner.deploy.engine import open_engine
from limner.deploy.options import BuildOptions
from limner.deploy.runtimes.openvino import builder, winograd
from limner.deploy.runtimes.openvino.builder import OpenVinoBuilder
from limner.deploy.runtimes.options import CpuOptions


@pytest.mark.parametrize("faster", [True, False])
def test_winograd_is_used_where_it_is_faster(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: bool
) -> None:
    """By times of the test's; the engine is compared with the bundle like any other."""
    monkeypatch.setattr(winograd, "MIN_WORK", 0)
    monkeypatch.setattr(winograd, "MIN_REUSE", 64)

    def time_interleaved(candidates: dict[str, Candidate], budget: TimingBudget, settle_s: float) -> dict[str, Timing]:
        plain, transformed = (candidate.run() for candidate in candidates.values())
        np.testing.assert_allclose(transformed, plain, atol=1e-4)  # type: ignore[call-overload]
        times_ms = (1.0, 2.0, 9.0) if faster else (4.0, 8.0, 4.0)
        return {"plain": Timing((2.0, 4.0, 2.0), 1), "transformed": Timing(times_ms, 1)}

    monkeypatch.setattr(builder, "time_interleaved", time_interleaved)
    lines: list[str] = []
    options = BuildOptions(backend="openvino", batch=(1, 2, 4))
    manifest = build(bundle, tmp_path / "engine", options, lines.append)
    assert manifest.options["winograd"] is faster
    verdict = "2.00x faster at batch 1: used" if faster else "2.00x slower at batch 1: not used"
    assert f"Winograd's convolutions are {verdict}" in lines
    with open_engine(tmp_path / "engine") as engine:
        assert (engine.runtime.transformed > 0) is faster  # type: ignore[attr-defined]


def test_the_trial_times_both_kinds(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "MIN_WORK", 0)
    monkeypatch.setattr(winograd, "MIN_REUSE", 64)
    lines: list[str] = []
    build(bundle, tmp_path / "engine", BuildOptions(backend="openvino", batch=(1, 1, 1)), lines.append)
    pattern = r"Winograd's convolutions are .*(faster|slower|as fast) at batch 1: (not )?used"
    assert any(re.fullmatch(pattern, line) for line in lines)


def test_nothing_is_timed_where_no_convolution_is_large(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "time_interleaved", lambda *candidates, **budget: pytest.fail("timed"))
    manifest = build(bundle, tmp_path / "engine", BuildOptions(backend="openvino", batch=(1, 1, 1)), print)
    assert manifest.options["winograd"] is False


@pytest.mark.parametrize(
    ("processor", "requested", "fine"),
    [
        (["FP32", "BF16", "INT8"], "bf16", True),
        (["FP32", "INT8"], "bf16", False),
        (["FP32"], "int8", False),
        (["FP32"], "fp16", True),
    ],
)
def test_a_precision_is_refused_that_the_processor_does_not_support(
    monkeypatch: pytest.MonkeyPatch, processor: list[str], requested: Any, fine: bool
) -> None:
    core = SimpleNamespace(get_property=lambda device, name: processor)
    monkeypatch.setattr(openvino, "Core", lambda: core)
    built = OpenVinoBuilder(CpuOptions())
    if fine:
        built.check_precision(requested)
    else:
        with pytest.raises(
            UserError, match=rf"precision {requested}: this processor does not support it .*FP32.*: take fp32"
        ):
            built.check_precision(requested)
