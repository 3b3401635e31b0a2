import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from limner.deploy.engine import open_engine
from limner.deploy.runtimes.openvino.runner import ANY_SIZE, OpenVinoRuntime


def test_threads_and_hint_reach_the_model(engine_directory: Path) -> None:
    with open_engine(engine_directory, threads=1, hint="throughput") as engine:
        model = engine.runtime.compile(1)  # type: ignore[attr-defined]
        assert model.get_property("INFERENCE_NUM_THREADS") == 1
        assert str(model.get_property("PERFORMANCE_HINT")).endswith("THROUGHPUT")


def test_fp32_is_really_fp32(engine_directory: Path) -> None:
    """OpenVINO by itself takes bf16 where the processor has it."""
    with open_engine(engine_directory) as engine:
        model = engine.runtime.compile(1)  # type: ignore[attr-defined]
        assert model.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32


def test_sizes_of_the_profile_are_compiled_when_they_come_and_others_share_one(engine_directory: Path) -> None:
    with open_engine(engine_directory) as engine:
        (port,) = engine.signature.inputs
        photos = np.random.default_rng(0).uniform(-1.0, 1.0, (4, *port.shape)).astype(np.float32)
        expected = engine.infer(photos)
        assert set(engine.runtime.compiled) == {4}  # type: ignore[attr-defined]
        for size in (1, 2, 3):
            np.testing.assert_allclose(engine.infer(photos[:size]), expected[:size], rtol=0, atol=1e-5)
        assert set(engine.runtime.compiled) == {1, 2, ANY_SIZE, 4}  # type: ignore[attr-defined]


@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_callers_that_come_at_once_share_what_is_compiled(
    engine_directory: Path, monkeypatch: pytest.MonkeyPatch, hint: Any
) -> None:
    sizes: list[int] = []
    compile_graph = OpenVinoRuntime.compile

    def counted(runtime: OpenVinoRuntime, size: int) -> openvino.CompiledModel:
        sizes.append(size)
        return compile_graph(runtime, size)

    monkeypatch.setattr(OpenVinoRuntime, "compile", counted)
    with open_engine(engine_directory, hint=hint) as engine, ThreadPoolExecutor(8) as pool:
        (port,) = engine.signature.inputs
        photos = np.random.default_rng(0).uniform(-1.0, 1.0, (4, *port.shape)).astype(np.float32)
        batches = [photos[:size] for size in (1, 2, 3, 4)] * 6
        results = list(pool.map(engine.infer, batches))
        assert sorted(sizes) == sorted({1, 2, ANY_SIZE, 4})
        assert engine.runtime.slots.qsize() == engine.runtime.streams  # type: ignore[attr-defined]
        for batch, result in zip(batches, results, strict=True):
            np.testing.assert_allclose(result, engine.infer(photos)[: len(batch)], rtol=0, atol=1e-5)


def test_an_engine_from_before_there_was_winograd_opens(engine_directory: Path, tmp_path: Path) -> None:
    older = tmp_path / "engine"
    shutil.copytree(engine_directory, older)
    manifest = json.loads((older / "manifest.json").read_text())
    del manifest["options"]["winograd"]
    (older / "manifest.json").write_text(json.dumps(manifest))
    with open_engine(older) as engine:
        assert engine.runtime.transformed == 0  # type: ignore[attr-defined]
