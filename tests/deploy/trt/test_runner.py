import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from limner.core.signature import Port, Signature
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.build import build
from limner.deploy.engine import open_engine
from limner.deploy.manifest import Manifest, read_manifest
from limner.deploy.options import BuildOptions
from limner.deploy.trt import runner
from limner.deploy.trt.builder import TensorRTBuilder, manifest_options
from limner.deploy.trt.options import TensorRTOptions
from limner.deploy.trt.runner import PLAN, SLOTS, Plan, TensorRTRuntime, open_runtime

SIGNATURE = Signature(
    (Port("photo", (3, 8, 8), "float32"), Port("style", (), "int64")), Port("image", (3, 8, 8), "float32"), styles=3
)


class FakeEngine:
    """As much of ICudaEngine as a plan's ports and layers are read from."""

    def __init__(self, tensors: dict[str, tuple[str, type]]) -> None:
        self.tensors = tensors
        self.num_io_tensors = len(tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> str:
        return self.tensors[name][0]

    def get_tensor_dtype(self, name: str) -> type:
        return self.tensors[name][1]

    def create_execution_context(self) -> Any:
        shapes: dict[str, tuple[int, ...]] = {}
        return SimpleNamespace(shapes=shapes, set_input_shape=shapes.__setitem__)

    def create_engine_inspector(self) -> "FakeInspector":
        return FakeInspector()


class FakeInspector:
    """Reports the context that it is given."""

    execution_context: Any = None

    def get_engine_information(self, format: str) -> str:
        return f"layers at {self.execution_context.shapes} as {format}"


class FakeRuntime:
    """As much of Runtime as plans are loaded with; `made` are all of a test."""

    made: list["FakeRuntime"] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, engine: FakeEngine | None) -> None:
        self.engine = engine
        self.engine_host_code_allowed = False
        self.allowed_when_loading = False
        FakeRuntime.made.append(self)

    def deserialize_cuda_engine(self, data: bytes) -> FakeEngine | None:
        self.allowed_when_loading = self.engine_host_code_allowed
        return self.engine


def fake_trt(engine: FakeEngine | None, version: str = "11.0.0.114") -> SimpleNamespace:
    return SimpleNamespace(
        __version__=version,
        Runtime=lambda log: FakeRuntime(engine),
        LayerInformationFormat=SimpleNamespace(JSON="JSON"),
        TensorIOMode=SimpleNamespace(INPUT="in"),
        nptype=lambda dtype: dtype,
    )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A machine with a GPU of name "GPU A" and the TensorRT that the test gives."""
    (tmp_path / PLAN).write_bytes(b"plan")
    monkeypatch.setattr(FakeRuntime, "made", [])

    def install(trt: SimpleNamespace, gpu: str = "GPU A") -> Path:
        monkeypatch.setattr(runner, "load_package", lambda backend: trt)
        monkeypatch.setattr(runner, "check_driver", lambda backend: None)
        monkeypatch.setattr(runner, "logger", lambda module: None)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: gpu)
        return tmp_path

    return install


@pytest.fixture
def manifest(engine_directory: Path) -> Manifest:
    """Of an engine that TensorRT 11.0 built on GPU A."""
    return replace(
        read_manifest(engine_directory),
        backend="tensorrt",
        backend_version="11.0.0.114",
        device="GPU A",
        options=manifest_options(TensorRTOptions()),
    )


@pytest.mark.parametrize(
    ("version", "gpu", "message"),
    [
        (
            "10.15.1.29",
            "GPU A",
            r"built by tensorrt 11.0.0.114, here is 10.15.1.29: build it again, or install 11.0.0.114$",
        ),
        ("11.0.0.114", "GPU B", r"built for GPU A, here is GPU B: build it again on this machine"),
        (
            "11.0.0.114",
            "GPU A",
            r"tensorrt 11.0.0.114 on GPU A refuses it \(built by another .*damaged\): build",
        ),
    ],
)
def test_plans_of_elsewhere(machine: Any, manifest: Manifest, version: str, gpu: str, message: str) -> None:
    directory = machine(fake_trt(None, version), gpu)
    with pytest.raises(UserError, match=message):
        open_runtime(directory, manifest, manifest.options)


def test_portable_plans_reach_tensorrt(machine: Any, manifest: Manifest) -> None:
    directory = machine(fake_trt(None, "11.4.0.1"), "GPU B")
    portable = manifest_options(TensorRTOptions(version_compatible=True, hardware="ampere-plus"))
    with pytest.raises(UserError, match=r"tensorrt 11.4.0.1 on GPU B refuses it"):
        open_runtime(directory, replace(manifest, options=portable), portable)


@pytest.mark.parametrize("version_compatible", [False, True])
def test_only_version_compatible_plans_may_bring_code(machine: Any, version_compatible: bool) -> None:
    directory = machine(fake_trt(FakeEngine(PORTS)))
    Plan("tensorrt", directory, manifest_options(TensorRTOptions(version_compatible=version_compatible)))
    assert [runtime.allowed_when_loading for runtime in FakeRuntime.made] == [version_compatible]


@pytest.mark.parametrize(
    ("version", "capability", "message"),
    [
        ("1.6.0.1", (8, 9), r"built by tensorrt-rtx 1.7.1.116, here is 1.6.0.1: build it again, or install 1.7.1.116$"),
        ("1.7.1.116", (9, 0), r"tensorrt-rtx does not run on GPU A: build it for another backend$"),
        ("1.7.1.116", (8, 9), r"tensorrt-rtx 1.7.1.116 on GPU A refuses it"),
    ],
)
def test_rtx_plans_of_elsewhere(
    machine: Any,
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    capability: tuple[int, int],
    message: str,
) -> None:
    directory = machine(fake_trt(None, version))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    rtx = replace(manifest, backend="tensorrt-rtx", backend_version="1.7.1.116", device="any GPU")
    with pytest.raises(UserError, match=message):
        open_runtime(directory, rtx, rtx.options)


def test_the_inspector_reports_at_a_known_shape(machine: Any) -> None:
    plan = plan_with(machine, PORTS)
    assert plan.layers(SIGNATURE, batch=4) == "layers at {'photo': (4, 3, 8, 8), 'style': (4,)} as JSON"


def test_no_memory_for_a_context(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_with(machine, PORTS)
    monkeypatch.setattr(plan.engine, "create_execution_context", lambda: None)
    with pytest.raises(LimnerError, match="could not create an execution context, most likely for lack of GPU memory"):
        plan.context()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_no_driver(monkeypatch: pytest.MonkeyPatch, manifest: Manifest, tmp_path: Path) -> None:
    monkeypatch.setattr(runner, "load_package", lambda backend: fake_trt(None))
    with pytest.raises(UserError, match="backend tensorrt: no NVIDIA GPU or driver"):
        open_runtime(tmp_path, manifest, manifest.options)


PORTS: dict[str, tuple[str, type]] = {
    "photo": ("in", np.float32),
    "style": ("in", np.int64),
    "image": ("out", np.float32),
}


def plan_with(machine: Any, tensors: dict[str, tuple[str, type]]) -> Plan:
    return Plan("tensorrt", machine(fake_trt(FakeEngine(tensors))), manifest_options(TensorRTOptions()))


def test_ports_are_found_by_name_in_any_order(machine: Any) -> None:
    plan = plan_with(machine, dict(reversed(PORTS.items())))
    assert plan.tensors(SIGNATURE) == {"photo": "photo", "style": "style", "image": "image"}


def test_ports_of_another_exporter_are_found_by_order(machine: Any) -> None:
    renamed = {"inputs_0": PORTS["photo"], "inputs_1": PORTS["style"], "output0": PORTS["image"]}
    assert plan_with(machine, renamed).tensors(SIGNATURE) == dict(zip(PORTS, renamed, strict=True))


@pytest.mark.parametrize(
    "tensors", [PORTS | {"photo": ("in", np.float16)}, PORTS | {"more": ("out", np.float32)}, {"photo": PORTS["photo"]}]
)
def test_foreign_plans_are_refused(machine: Any, tensors: dict[str, tuple[str, type]]) -> None:
    with pytest.raises(UserError, match="are not those of the manifest: build the engine again"):
        plan_with(machine, tensors).tensors(SIGNATURE)


class FakeSlot:
    """Counts who is inside, and gives back its input."""

    made: list["FakeSlot"] = []  # noqa: RUF012 - emptied by the test that uses it
    gate: threading.Barrier | None = None

    def __init__(self, plan: object, signature: Signature, batch: int, fixed: bool) -> None:
        self.batch, self.fixed, self.busy = batch, fixed, threading.Lock()
        FakeSlot.made.append(self)

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        assert self.busy.acquire(blocking=False), "two callers in one slot"
        try:
            if FakeSlot.gate is not None:
                FakeSlot.gate.wait(timeout=10)
            return inputs["photo"]
        finally:
            self.busy.release()


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> TensorRTRuntime:
    monkeypatch.setattr(runner, "_Slot", FakeSlot)
    monkeypatch.setattr(FakeSlot, "made", [])
    monkeypatch.setattr(FakeSlot, "gate", None)
    return TensorRTRuntime(SimpleNamespace(close=lambda: None), SIGNATURE, BatchProfile(1, 4, 8))  # type: ignore[arg-type]


def test_a_slot_is_used_again_and_profile_sizes_have_their_own(runtime: TensorRTRuntime) -> None:
    for size in (1, 1, 4, 8, 3, 5, 3):
        assert len(runtime.run({"photo": np.zeros((size, 3, 8, 8), np.float32)})) == size
    assert [(slot.batch, slot.fixed) for slot in FakeSlot.made] == [(1, True), (4, True), (8, True), (8, False)]
    runtime.close()


def test_callers_at_once_share_a_few_slots(runtime: TensorRTRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeSlot, "gate", threading.Barrier(SLOTS))  # opens only for callers that are inside together
    with ThreadPoolExecutor(4 * SLOTS) as pool:
        batches = [np.full((1, 3, 8, 8), i, np.float32) for i in range(8 * SLOTS)]
        for batch, result in zip(batches, pool.map(lambda batch: runtime.run({"photo": batch}), batches), strict=True):
            np.testing.assert_array_equal(result, batch)
    assert len(FakeSlot.made) == SLOTS


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_a_plan_is_the_same_generator(
    bundle: Path, tiny_data: Path, tmp_path: Path, backend: Any, precision: Any
) -> None:
    pytest.importorskip(backend.replace("-", "_"))
    if not TensorRTBuilder(backend, TensorRTOptions()).runs_here:
        pytest.skip(f"{backend} does not run on {torch.cuda.get_device_name()}")
    out = tmp_path / "engine"
    build(bundle, out, BuildOptions(backend, precision, (1, 4, 8), data=tiny_data), lambda line: None)
    assert isinstance(read_manifest(out).parity, dict)
    photos = np.random.default_rng(0).uniform(-1, 1, (8, 3, 64, 64)).astype(np.float32)
    with open_engine(out) as engine, ThreadPoolExecutor(4) as pool:
        together = engine.infer(photos)
        for size in (1, 3, 4):  # with and without a CUDA graph
            for result in pool.map(engine.infer, [photos[:size]] * 6):
                np.testing.assert_allclose(result, together[:size], atol=0.02)
