"""The house as docs/design.md draws it, read from the imports: who may know whom, and how large a room may grow."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUBPACKAGES = ("core", "data_pipeline", "distributed", "deploy", "benchmarks")
FOLDERS = (*SUBPACKAGES, "limner", "scripts")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 500, 80

# From \ may import. A package may always import itself; "core.config" allows that module alone.
ALLOWED: dict[str, tuple[str, ...]] = {
    "core": (),
    "data_pipeline": ("core.config", "core.images", "core.batch", "core.util"),
    "distributed": ("core", "data_pipeline"),
    "deploy": ("core", "data_pipeline.index", "data_pipeline.reference", "data_pipeline.images", "data_pipeline.faces"),
    "benchmarks": SUBPACKAGES,
    "limner": SUBPACKAGES,
    "scripts": (*SUBPACKAGES, "limner"),
}
TRAINING_ONLY = ("core.training",)  # closed to deploy

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
    "ncnn": ("deploy/runtimes/ncnn.py",),
    "executorch": ("deploy/runtimes/executorch.py",),
    "pnnx": ("deploy/runtimes/ncnn.py",),
    "streamlit": ("deploy/app/",),
    "skimage": ("core/metrics/",),
    "tensorboard": ("core/training/stats.py",),
}


@cache
def sources() -> list[Path]:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) >= 40, "the glob sees too little to prove anything"
    return files


def names(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """deploy/graph/__init__.py -> deploy.graph: dotted, without the `limner.` under which it is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports, anywhere in it; those of limner as `module_name` has them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{names(path)}: relative import"
            assert node.module is not None
            # `from package import module` names the module too.
            found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in found:
            inside = name.removeprefix("limner.")
            yield inside if inside.partition(".")[0] in SUBPACKAGES else name


def within(module: str, allowed: str) -> bool:
    return module == allowed or module.startswith(allowed + ".")


@pytest.mark.parametrize("path", sources(), ids=names)
def test_arrows_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for module in imports(path):
        top = module.partition(".")[0]
        if top not in FOLDERS or top == package:
            continue
        allowed = ALLOWED[package]
        # `from limner.core import config` yields "core" and "core.config": the second is the one to judge.
        if any(within(module, name) or within(name, module) for name in allowed):
            closed = package == "deploy" and any(within(module, name) for name in TRAINING_ONLY)
            assert not closed, f"{names(path)} imports {module}: deployment knows nothing of training"
            continue
        pytest.fail(f"{names(path)} imports {module}; {package} may import {', '.join(allowed) or 'only itself'}")


def test_no_two_files_import_each_other() -> None:
    files = {module_name(path): path for path in sources()}
    graph = {}
    for module, path in files.items():
        found = {name if name in files else name.rpartition(".")[0] for name in imports(path)}
        graph[module] = (found & files.keys()) - {module}
    assert sum(map(len, graph.values())) >= 300, "the graph sees too little to prove anything"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("path", sources(), ids=names)
def test_heavy_libraries_stay_with_their_owners(path: Path) -> None:
    for module in imports(path):
        owners = OWNERS.get(module.partition(".")[0])
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


@pytest.mark.parametrize("folder", SUBPACKAGES)
def test_everything_imports_by_one_name(folder: str) -> None:
    """`distributed` and `core` are names that other projects use too."""
    spec = importlib.util.find_spec(f"limner.{folder}")
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).parent == ROOT / folder


def test_core_needs_no_launcher_and_no_image_library_to_import() -> None:
    """Every module of core stands on torch, numpy and what its file is named for."""
    light = {"torch", "numpy", "safetensors", "rich", "tensorboard", "skimage", "PIL", "tyro", *SUBPACKAGES}
    for path in sorted((ROOT / "core").rglob("*.py")):
        others = {module.partition(".")[0] for module in imports(path)} - set(sys.stdlib_module_names)
        assert others <= light, f"{names(path)} imports {sorted(others - light)}"
