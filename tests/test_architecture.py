"""The house as docs/design.md draws it, read from the imports: who may know whom, and how large a room may grow."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "data_pipeline", "distributed", "deploy", "benchmarks", "scripts")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 500, 80

# From \ may import. A package may always import itself; "core.config" allows that module alone.
ALLOWED: dict[str, tuple[str, ...]] = {
    "core": (),
    "data_pipeline": ("core.config", "core.images", "core.errors", "core.progress"),
    "distributed": ("core", "data_pipeline"),
    "deploy": ("core", "data_pipeline.index", "data_pipeline.reference", "data_pipeline.pictures"),
    "benchmarks": ("core", "data_pipeline", "distributed", "deploy"),
    "scripts": ("core", "data_pipeline", "distributed", "deploy", "benchmarks"),
}
TRAINING_ONLY = ("core.step", "core.loop", "core.state", "core.checkpoint")  # closed to deploy

# Heavy libraries, and the only places that may name them.
OWNERS: dict[str, tuple[str, ...]] = {
    "nvidia": ("data_pipeline/dali.py",),
    "ray": ("distributed/ray_train.py", "deploy/serve/"),
    "tensorrt": ("deploy/trt/",),
    "tensorrt_rtx": ("deploy/trt/",),
    "torch_tensorrt": ("deploy/trt/",),
    "cv2": ("data_pipeline/",),
    "onnx": ("deploy/",),
    "onnxruntime": ("deploy/",),
    "openvino": ("deploy/",),
    "streamlit": ("deploy/app/",),
    "skimage": ("core/metrics/",),
    "tensorboard": ("core/stats.py",),
}


def sources() -> list[Path]:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(files) >= 40, "the glob sees too little to prove anything"
    return files


def names(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{names(path)}: relative import"
            assert node.module is not None
            yield node.module
            # `from package import module` names the module too.
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module in PACKAGES)


def within(module: str, allowed: str) -> bool:
    return module == allowed or module.startswith(allowed + ".")


@pytest.mark.parametrize("path", sources(), ids=names)
def test_arrows_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for module in imports(path):
        top = module.split(".")[0]
        if top not in PACKAGES or top == package:
            continue
        allowed = ALLOWED[package]
        # `from core import config` yields "core" and "core.config": the second is the one to judge.
        if any(within(module, name) or within(name, module) for name in allowed):
            closed = package == "deploy" and any(within(module, name) for name in TRAINING_ONLY)
            assert not closed, f"{names(path)} imports {module}: deployment knows nothing of training"
            continue
        pytest.fail(f"{names(path)} imports {module}; {package} may import {', '.join(allowed) or 'only itself'}")


@pytest.mark.parametrize("path", sources(), ids=names)
def test_heavy_libraries_stay_with_their_owners(path: Path) -> None:
    for module in imports(path):
        owners = OWNERS.get(module.split(".")[0])
        if owners is not None:
            assert names(path).startswith(owners), f"{names(path)} imports {module}, which belongs to {owners}"


@pytest.mark.parametrize("path", [*sources(), *sorted((ROOT / "tests").rglob("*.py"))], ids=names)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{names(path)}: {node.name} has {length} lines"


@pytest.mark.parametrize("package", ["core", "data_pipeline", "distributed", "deploy", "benchmarks"])
def test_packages_are_ours(package: str) -> None:
    """`distributed` and `core` are names that other projects use too."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).parent == ROOT / package


def test_core_needs_no_launcher_and_no_image_library_to_import() -> None:
    """Every module of core stands on torch, numpy and what its file is named for."""
    light = {"torch", "numpy", "safetensors", "rich", "tensorboard", "skimage", "PIL", "tyro"}
    for path in sorted((ROOT / "core").rglob("*.py")):
        foreign = {module.split(".")[0] for module in imports(path)} - set(sys.stdlib_module_names) - {"core"}
        assert foreign <= light, f"{names(path)} imports {sorted(foreign - light)}"
