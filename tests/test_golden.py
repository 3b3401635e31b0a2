"""Golden curves: what a run computes does not change. `python tests/record_golden.py` rewrites them."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def load_recorder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("record_golden", Path(__file__).with_name("record_golden.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recorder = load_recorder()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = recorder.make_data(tmp_path_factory.mktemp("golden") / "data")
    return out


@pytest.mark.parametrize("case", list(recorder.CASES))
def test_losses_and_weights_are_the_recorded_ones(case: str, data: Path, tmp_path: Path) -> None:
    golden: dict[str, Any] = json.loads((recorder.GOLDEN / f"{case}.json").read_text(encoding="utf-8"))
    found = recorder.record(case, data, tmp_path)
    assert found["losses"].keys() == golden["losses"].keys()
    for name, values in golden["losses"].items():
        steps = [number for number, value in enumerate(values) if value is not None]  # penalties are not of every step
        assert [number for number, value in enumerate(found["losses"][name]) if value is not None] == steps
        expected = [values[number] for number in steps]
        assert [found["losses"][name][number] for number in steps] == pytest.approx(expected, rel=1e-5, abs=1e-5), name
    assert found["checksums"].keys() == golden["checksums"].keys()
    if found["machine_class"] == golden["machine_class"]:
        assert found["checksums"] == golden["checksums"]


def test_every_recorded_file_has_a_case() -> None:
    assert {path.stem for path in recorder.GOLDEN.glob("*.json")} == set(recorder.CASES)
