"""What an engine directory says about itself: manifest.json, and the check that its files are those that were built."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from limner.core.config import Fit
from limner.core.signature import Port, Signature
from limner.core.util.errors import UserError
from limner.core.util.files import sha256
from limner.deploy.batch_profile import BatchProfile

FORMAT = 1
MANIFEST = "manifest.json"

Backend = Literal["openvino", "onnxruntime", "tensorrt", "tensorrt-rtx", "torch-tensorrt"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
Hint = Literal["latency", "throughput"]


@dataclass(frozen=True)
class Source:
    """The bundle that an engine was made from, and how pictures are to be fitted for it."""

    bundle_hash: str
    task: str
    image_size: int
    fit: Fit
    styles: tuple[str, ...]


@dataclass(frozen=True)
class PrecisionReport:
    """Precision as it was asked for, as the file stores weights, and as the machine calculates."""

    asked: Precision
    stored: str
    executed: str
    """From the backend's own report of its layers; "unknown" where it gives none on this machine."""


@dataclass(frozen=True)
class Latency:
    """Median milliseconds per batch of the engine and of the bundle in eager fp32, NCHW, in turns in one run."""

    batch: int
    rounds: int
    engine_ms: float
    eager_fp32_ms: float

    @property
    def share_of_eager(self) -> float:
        """Engine over eager: under 1 is faster."""
        return self.engine_ms / self.eager_fp32_ms


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json."""

    source: Source
    backend: Backend
    backend_version: str
    precision: PrecisionReport
    batch: BatchProfile
    signature: Signature
    device: str
    """The processor or GPU that the engine was built on, or for."""
    options: dict[str, Any]
    """The backend's own settings, as its runtime takes them."""
    files: dict[str, str]
    """SHA-256 of each file beside the manifest."""
    parity: dict[str, Any] | Literal["not run"]
    """verify.py's report; "not run" where this machine cannot run the engine."""
    onnx_parity: dict[str, Any] | None = None
    """The same report on the ONNX graph in ONNX Runtime, for GPU engines; the CPU's run the graph itself."""
    latency: Latency | None = None


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write manifest.json."""
    text = json.dumps({"format": FORMAT, **dataclasses.asdict(manifest)}, indent=2)
    (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(directory: Path | str) -> Manifest:
    """Read manifest.json and check every file that it names by its SHA-256, before anything opens one.

    UserError where the directory is no engine, is of another format, or holds a file that is not the one that was
    built: an engine file can run code when it is loaded.
    """
    directory = Path(directory)
    path = directory / MANIFEST
    if not path.is_file():
        raise UserError(f"{directory}: not an engine directory (no {MANIFEST}): run deploy/trt/build_engine.py")
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = values.pop("format", None)
        if found != FORMAT:
            raise UserError(
                f"{path}: engine format {found}, this version reads format {FORMAT}: build the engine again"
            )
        manifest = _manifest_from(values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: damaged manifest ({error}): build the engine again") from error
    for name, digest in manifest.files.items():
        if not (directory / name).is_file():
            raise UserError(f"{directory / name}: missing, though {MANIFEST} names it: build the engine again")
        if sha256(directory / name) != digest:
            raise UserError(
                f"{directory / name}: not the file that was built (SHA-256 differs): build the engine again"
            )
    return manifest


def _manifest_from(values: dict[str, Any]) -> Manifest:
    signature = values.pop("signature")
    source = values.pop("source")
    latency = values.pop("latency")
    return Manifest(
        source=Source(**{**source, "styles": tuple(source["styles"])}),
        precision=PrecisionReport(**values.pop("precision")),
        batch=BatchProfile(**values.pop("batch")),
        signature=Signature(
            tuple(_port_from(port) for port in signature["inputs"]),
            _port_from(signature["output"]),
            signature["styles"],
        ),
        latency=None if latency is None else Latency(**latency),
        **values,
    )


def _port_from(values: dict[str, Any]) -> Port:
    return Port(values["name"], tuple(values["shape"]), values["dtype"])
