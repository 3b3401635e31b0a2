"""The table of backends: each row is whole, options are refused by it, and a package that is missing is explained."""

import dataclasses
import importlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
import pytest
from onnx import ModelProto

from limner.core.config import flatten
from limner.core.util.errors import UserError
from limner.deploy.backends import (
    BACKENDS,
    BackendName,
    BackendSpec,
    explain_missing,
    load_builder,
    load_package,
    load_runner,
    refuse_unsupported,
)
from limner.deploy.build import build
from limner.deploy.builder import BuildJob
from limner.deploy.engine import open_engine
from limner.deploy.manifest import GRAPH, Manifest, Precision
from limner.deploy.options import BuildOptions
from limner.deploy.runtimes.onnxruntime import OnnxRuntime

SPECIFIC = {name for spec in BACKENDS.values() for name in spec.options}


@pytest.fixture
def quickly(case: Callable[[str], tuple[Any, Any, ModelProto]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Build the bundle's engines without the seconds that export and timing take."""
    monkeypatch.setattr("limner.deploy.graph.assemble.export_onnx", lambda generator, signature: case("instance")[2])
    monkeypatch.setattr("limner.deploy.build.measure_latency", lambda engine, eager, inputs: None)


def test_every_name_has_a_row() -> None:
    assert set(BACKENDS) == set(get_args(BackendName))


@pytest.mark.parametrize("backend", BACKENDS)
def test_modules_and_options_of_a_row_exist(backend: BackendName) -> None:
    spec = BACKENDS[backend]
    assert find_spec(spec.builder) is not None
    assert find_spec(spec.runner) is not None
    names = flatten(dataclasses.asdict(BuildOptions()))
    assert set(spec.options) <= {name.replace("_", "-") for name in names}
    if find_spec(spec.package) is not None:
        assert callable(load_builder(backend).make_builder)
        assert callable(load_runner(backend).open_runtime)


def test_every_option_of_a_group_is_in_some_row() -> None:
    groups = {name for name in flatten(dataclasses.asdict(BuildOptions())) if "." in name}
    assert {name.replace("_", "-") for name in groups} <= SPECIFIC


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("option", sorted(SPECIFIC))
def test_an_option_is_taken_or_refused(backend: BackendName, option: str) -> None:
    refuse_unsupported(backend, ["precision", "batch"])
    if option in BACKENDS[backend].options:
        refuse_unsupported(backend, [option])
    else:
        having = ", ".join(name for name, spec in BACKENDS.items() if option in spec.options)
        with pytest.raises(UserError) as error:
            refuse_unsupported(backend, [option])
        assert str(error.value) == (
            f"{option}: {backend} has no such option (those that have it: {having}): leave it out"
        )


@pytest.mark.parametrize(("backend", "install"), [(name, spec.install) for name, spec in BACKENDS.items()])
def test_a_missing_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, backend: BackendName, install: str
) -> None:
    package = BACKENDS[backend].package

    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(importlib, "import_module", missing)
    for load in (load_builder, load_runner, load_package):
        with pytest.raises(UserError) as error:
            load(backend)
        assert str(error.value) == f"backend {backend}: not usable here (No module named {package!r}): {install}"


def test_a_broken_package_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> ModuleType:
        raise OSError("libtorch_cuda.so: cannot open shared object file\nmore")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(UserError, match=r"not usable here \(libtorch_cuda.so: cannot open .* file\): pip install"):
        load_package("torch-tensorrt")


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ImportError), explain_missing("backend toy", "pip install toy"):
        from limner.deploy.backends import nothing  # type: ignore[attr-defined]  # noqa: F401


class ToyBuilder:
    """As little as a backend can be: the graph in ONNX Runtime."""

    device_type: Literal["cpu", "cuda"] = "cpu"
    runs_here = True
    storage_only: tuple[Precision, ...] = ()

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def version(self) -> str:
        return "0.1"

    def device(self) -> str:
        return "toy processor"

    def options(self) -> dict[str, Any]:
        return {"threads": self.threads}

    def check_precision(self, requested: Precision) -> None:
        assert requested == "fp32"

    def build(self, job: BuildJob) -> None:
        (job.directory / "toy.bin").write_bytes((job.directory / GRAPH).read_bytes())

    def executed_precision(self, job: BuildJob) -> str | None:
        return None


def open_toy(directory: Path, manifest: Manifest, options: Mapping[str, Any]) -> OnnxRuntime:
    assert manifest.device == "toy processor"
    return OnnxRuntime(directory / "toy.bin", options["threads"])


def test_a_backend_is_a_module_and_a_row(
    quickly: None, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("toy_backend")
    module.make_builder = lambda backend, options: ToyBuilder(options.cpu.threads)  # type: ignore[attr-defined]
    module.open_runtime = open_toy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_backend", module)
    row = BackendSpec("toy_backend", "toy_backend", "toy_backend", "pip install toy", "fp32", ("threads",))
    toy: Any = "toy"
    monkeypatch.setitem(BACKENDS, toy, row)
    out = tmp_path / "engine"
    manifest = build(bundle, out, BuildOptions(toy, batch=(1, 2, 3), threads=1), lambda line: None)
    assert (manifest.backend, manifest.options, set(manifest.files)) == ("toy", {"threads": 1}, {GRAPH, "toy.bin"})
    assert manifest.parity is not None
    with open_engine(out, threads=2) as engine:
        assert engine.infer(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 64, 64, 3)
    with pytest.raises(UserError, match="hint: toy has no such option"):
        open_engine(out, hint="latency")
    with pytest.raises(UserError, match="pixels: toy has no such option"):
        build(bundle, tmp_path / "second", BuildOptions(toy, pixels=True), lambda line: None)


def run_python(code: str, *args: str | Path) -> str:
    """What `code` prints in a fresh process."""
    done = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


HEAVY = "('torch', 'onnx', 'cv2', 'ray', 'skimage', 'openvino', 'onnxruntime', 'tensorrt', 'tensorrt_rtx')"
LOADED = f"print(sorted(name for name in {HEAVY} if name in sys.modules))"


def test_an_engine_opens_and_runs_without_torch(quickly: None, bundle: Path, tmp_path: Path) -> None:
    """Float and uint8 batches, through float and uint8 graphs."""
    code = f"""
import sys
import numpy as np
from limner.deploy.engine import open_engine
for directory in sys.argv[1:]:
    with open_engine(directory, threads=1, hint="throughput") as engine, open_engine(directory) as same:
        for batch in (np.zeros((2, 3, 64, 64), np.float32), np.zeros((2, 64, 64, 3), np.uint8)):
            if batch.dtype == np.uint8 or engine.signature.inputs[0].dtype == "float32":
                assert (engine.infer(batch) == same.infer(batch)).mean() > 0.99
                assert engine.infer(batch).dtype == batch.dtype
{LOADED}
"""
    for backend, options in (("openvino", {}), ("openvino", {"pixels": True}), ("onnxruntime", {})):
        out = tmp_path / f"{backend}-{len(options)}"
        build(bundle, out, BuildOptions(backend, batch=(1, 2, 2), **options), lambda line: None)  # type: ignore[arg-type]
        assert run_python(code, out) == f"['{backend}']"


@pytest.mark.parametrize(
    "module",
    ["limner.deploy.build", "limner.deploy.trt.build_engine", "limner.deploy.backends", "limner.deploy.engine"],
)
def test_importing_a_module_imports_no_backend(module: str) -> None:
    loaded = run_python(f"import sys, {module}\n{LOADED}")
    assert not any(f"'{spec.package}'" in loaded for spec in BACKENDS.values())
    if module in ("limner.deploy.backends", "limner.deploy.engine"):
        assert loaded == "[]"


WITHOUT = """
import sys
from pathlib import Path
sys.modules.update(dict.fromkeys(sys.argv[4].split(), None))  # as if not installed
from limner.core.util.errors import UserError
import limner.deploy.build
from limner.deploy.build import build
from limner.deploy.options import BuildOptions
limner.deploy.build.measure_latency = lambda *engines_and_inputs: None
try:
    build(Path(sys.argv[1]), Path(sys.argv[2]), BuildOptions(sys.argv[3], batch=(1, 2, 2)), lambda line: None)
    print("built")
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("backend", "without", "message"),
    [
        ("tensorrt-rtx", "openvino tensorrt torch_tensorrt", "built"),
        ("onnxruntime", "openvino tensorrt tensorrt_rtx torch_tensorrt", "built"),
        ("openvino", "onnxruntime tensorrt tensorrt_rtx torch_tensorrt", "built"),
        ("openvino", "openvino", "backend openvino: not usable here (import of openvino halted"),
        ("onnxruntime", "onnxruntime", "backend onnxruntime: not usable here (import of onnxruntime halted"),
        ("openvino", "onnx", "exporting a graph: not usable here (import of onnx halted"),
        ("openvino", "onnxscript", "exporting a graph: not usable here ("),
        ("tensorrt-rtx", "onnxruntime", "parity of the ONNX graph: not usable here (import of onnxruntime halted"),
        ("tensorrt-rtx", "tensorrt_rtx", "backend tensorrt-rtx: not usable here (import of tensorrt_rtx halted"),
    ],
)
def test_a_backend_needs_no_other_ones_package(
    bundle: Path, tmp_path: Path, backend: BackendName, without: str, message: str
) -> None:
    if BACKENDS[backend].package not in without and find_spec(BACKENDS[backend].package) is None:
        pytest.skip(f"{backend} is not installed")
    printed = run_python(WITHOUT, bundle, tmp_path / "engine", backend, without)
    assert printed.startswith(message)
    if message != "built":
        install = BACKENDS[backend].install if printed.startswith("backend") else "pip install 'limner[engines]'"
        assert printed.endswith(f": {install}")
        assert "\n" not in printed
        assert list(tmp_path.iterdir()) == []
