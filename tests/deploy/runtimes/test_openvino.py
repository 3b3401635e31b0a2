from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openvino
import pytest

from core.errors import UserError
from deploy.engine import open_engine
from deploy.runtimes.openvino import OpenVinoTarget


def test_threads_and_hint_reach_the_model(engine_directory: Path) -> None:
    with open_engine(engine_directory, threads=1, hint="throughput") as engine:
        model = engine.runtime.model  # type: ignore[attr-defined]
        assert model.get_property("INFERENCE_NUM_THREADS") == 1
        assert str(model.get_property("PERFORMANCE_HINT")).endswith("THROUGHPUT")


def test_fp32_is_really_fp32(engine_directory: Path) -> None:
    """OpenVINO by itself takes bf16 where the processor has it."""
    with open_engine(engine_directory) as engine:
        assert engine.runtime.model.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("processor", "asked", "fine"),
    [
        (["FP32", "BF16", "INT8"], "bf16", True),
        (["FP32", "INT8"], "bf16", False),
        (["FP32"], "int8", False),
        (["FP32"], "fp16", True),
    ],
)
def test_a_precision_is_refused_where_the_processor_has_none(
    monkeypatch: pytest.MonkeyPatch, processor: list[str], asked: Any, fine: bool
) -> None:
    core = SimpleNamespace(get_property=lambda device, name: processor)
    monkeypatch.setattr(openvino, "Core", lambda: core)
    target = OpenVinoTarget(0, "latency")
    if fine:
        target.check(asked)
    else:
        with pytest.raises(UserError, match=rf"precision {asked}: this processor has none .*FP32.*: take fp32"):
            target.check(asked)
