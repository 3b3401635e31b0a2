"""The backends, one row each. A backend's modules are imported on use, so that each runs without the others' packages.

To add one: a module with `make_builder` and `open_runtime`, a row here, and its options, if it has new ones, as a
dataclass next to its builder and a field of deploy.options.BuildOptions.
"""

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from limner.core.util.errors import UserError

BackendName = Literal[
    "openvino", "onnxruntime", "tensorrt", "tensorrt-rtx", "torch-tensorrt", "onnx-web", "ncnn", "executorch"
]

INSTALL_ENGINES = "pip install 'limner[engines]'"
INSTALL_MOBILE = "pip install 'limner[mobile]'"
INSTALL_GPU = "pip install 'limner[gpu]'"


@dataclass(frozen=True)
class BackendSpec:
    """A backend: its modules, package and options."""

    builder: str
    """Module whose `make_builder(backend, options)` gives a deploy.builder.EngineBuilder."""
    runner: str
    """Module whose `open_runtime(directory, manifest, options)` gives a deploy.engine.Runtime."""
    package: str
    """The package that it needs, by its import name."""
    install: str
    """Command that installs the package."""
    default_precision: Literal["fp32", "fp16"]
    """What --precision auto means."""
    options: tuple[str, ...]
    """Those build options that some other backend does not have, by command-line name."""


def _tensorrt(*names: str) -> tuple[str, ...]:
    return tuple(f"tensorrt.{name}" for name in ("workspace-gb", "level", "tf32", "refit", *names))


BACKENDS: dict[BackendName, BackendSpec] = {
    "openvino": BackendSpec(
        builder="limner.deploy.runtimes.openvino.builder",
        runner="limner.deploy.runtimes.openvino.runner",
        package="openvino",
        install=INSTALL_ENGINES,
        default_precision="fp32",
        options=("pixels", "threads", "hint"),
    ),
    "onnxruntime": BackendSpec(
        builder="limner.deploy.runtimes.onnxruntime",
        runner="limner.deploy.runtimes.onnxruntime",
        package="onnxruntime",
        install=INSTALL_ENGINES,
        default_precision="fp32",
        options=("pixels", "threads", "hint"),
    ),
    "tensorrt": BackendSpec(
        builder="limner.deploy.trt.builder",
        runner="limner.deploy.trt.runner",
        package="tensorrt",
        install=INSTALL_GPU,
        default_precision="fp16",
        options=("pixels", *_tensorrt("strip-plan", "timing-cache", "version-compatible", "hardware")),
    ),
    "tensorrt-rtx": BackendSpec(
        builder="limner.deploy.trt.builder",
        runner="limner.deploy.trt.runner",
        package="tensorrt_rtx",
        install="pip install tensorrt-rtx (Linux and Windows)",
        default_precision="fp16",
        options=("pixels", *_tensorrt("strip-plan")),
    ),
    "torch-tensorrt": BackendSpec(
        builder="limner.deploy.trt.torch_trt",
        runner="limner.deploy.trt.torch_trt",
        package="torch_tensorrt",
        install=INSTALL_GPU,
        default_precision="fp16",
        options=_tensorrt("timing-cache", "version-compatible", "hardware", "bare"),
    ),
    "onnx-web": BackendSpec(
        builder="limner.deploy.runtimes.onnx_web",
        runner="limner.deploy.runtimes.onnx_web",
        package="onnx",  # to build; Node.js runs it
        install="npm install onnxruntime-web",
        default_precision="fp32",
        options=("pixels", "threads"),
    ),
    "ncnn": BackendSpec(
        builder="limner.deploy.runtimes.ncnn",
        runner="limner.deploy.runtimes.ncnn",
        package="ncnn",
        install=INSTALL_MOBILE,
        default_precision="fp16",
        options=("threads",),
    ),
    "executorch": BackendSpec(
        builder="limner.deploy.runtimes.executorch",
        runner="limner.deploy.runtimes.executorch",
        package="executorch",
        install=INSTALL_MOBILE,
        default_precision="fp32",
        options=(),
    ),
}


def refuse_unsupported(backend: BackendName, given: Iterable[str]) -> None:
    """Raise UserError for the first of the `given` options, by command-line name, that the backend does not have.

    Options that are in no row belong to all backends.
    """
    for name in given:
        having = [other for other, spec in BACKENDS.items() if name in spec.options]
        if having and backend not in having:
            raise UserError(
                f"{name}: {backend} has no such option (those that have it: {', '.join(having)}): leave it out"
            )


def load_builder(backend: BackendName) -> ModuleType:
    """Import the module that builds engines; UserError, with how to install it, where the package is missing."""
    spec = BACKENDS[backend]
    with explain_missing(f"backend {backend}", spec.install):
        return importlib.import_module(spec.builder)


def load_runner(backend: BackendName) -> ModuleType:
    """Import the module that runs engines; UserError as `load_builder`."""
    spec = BACKENDS[backend]
    with explain_missing(f"backend {backend}", spec.install):
        return importlib.import_module(spec.runner)


def load_package(backend: BackendName) -> ModuleType:
    """Import the backend's package; UserError, with how to install it, where it is missing or broken."""
    spec = BACKENDS[backend]
    # A build that does not fit this torch or this driver raises the last three.
    with explain_missing(f"backend {backend}", spec.install, OSError, AttributeError, RuntimeError):
        return importlib.import_module(spec.package)


@contextmanager
def explain_missing(what: str, install: str, *more: type[Exception]) -> Iterator[None]:
    """Turn a package's ImportError, and errors of the types `more`, into a UserError that says how to install it."""
    caught: tuple[type[Exception], ...] = (ImportError, *more)
    try:
        yield
    except caught as error:
        if isinstance(error, ImportError) and (error.name or "").startswith("limner."):
            raise  # not the user's
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{what}: not usable here ({reason}): {install}") from error
