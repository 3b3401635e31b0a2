"""The manifest of an engine directory, manifest.json, and the check that its files are those that were built."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from limner.core.config import Fit
from limner.core.signature import Port, Signature
from limner.core.util.errors import UserError
from limner.core.util.files import sha256
from limner.deploy.backends import BACKENDS, BackendName
from limner.deploy.batch_profile import BatchProfile

FORMAT = 1
MANIFEST = "manifest.json"
GRAPH = "model.onnx"
"""The graph in every engine directory; the engine itself for CPU backends."""

Precision = Literal["fp32", "bf16", "fp16", "int8"]
Hint = Literal["latency", "throughput"]

NOT_RUN, UNKNOWN = "not run", "unknown"
"""How the file writes a parity and an executed precision that are None."""


@dataclass(frozen=True)
class Source:
    """The bundle that an engine was built from, and how images are to be fitted for it."""

    bundle_hash: str
    task: str
    image_size: int
    fit: Fit
    styles: tuple[str, ...]
    default_style: str = ""
    """The style that is taken where none is asked for; empty: one must be."""


@dataclass(frozen=True)
class PrecisionReport:
    """Precision as it was requested, as the file stores weights, and as the machine calculates."""

    requested: Precision
    stored: str
    executed: str | None
    """From the backend's own report of its layers; None where it gives none on this machine."""


@dataclass(frozen=True)
class Latency:
    """Median milliseconds per batch of the engine and of the bundle in eager fp32, NCHW, interleaved in one run."""

    batch: int
    rounds: int
    engine_ms: float
    eager_fp32_ms: float

    @property
    def speedup(self) -> float:
        """Eager over engine: over 1 is faster."""
        return self.eager_fp32_ms / self.engine_ms


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json."""

    source: Source
    backend: BackendName
    backend_version: str
    precision: PrecisionReport
    batch: BatchProfile
    signature: Signature
    device: str
    """The processor or GPU that the engine was built on, or for."""
    options: dict[str, Any]
    """The backend's options, as its runner takes them."""
    files: dict[str, str]
    """SHA-256 of each file next to the manifest."""
    parity: dict[str, Any] | None
    """deploy.parity's report; None where this machine cannot run the engine."""
    onnx_parity: dict[str, Any] | None = None
    """The same report on the ONNX graph in ONNX Runtime, for GPU engines; CPU engines run the graph itself."""
    latency: Latency | None = None


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write manifest.json."""
    text = json.dumps({"format": FORMAT, **_to_json(manifest)}, indent=2)
    (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(directory: Path | str) -> Manifest:
    """Read manifest.json and check every file that it names by its SHA-256, before anything opens one.

    UserError where the directory is no engine, is of another format or an unknown backend, or holds a file that is not
    the one that was built: an engine file can run code when it is loaded.
    """
    directory = Path(directory)
    path = directory / MANIFEST
    if not path.is_file():
        raise UserError(f"{directory}: not an engine directory (no {MANIFEST}): run limner build")
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = values.pop("format", None)
        if version != FORMAT:
            raise UserError(
                f"{path}: engine format {version}, this version reads format {FORMAT}: build the engine again"
            )
        manifest = _from_json(values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: damaged manifest ({error}): build the engine again") from error
    if manifest.backend not in BACKENDS:
        raise UserError(
            f"{path}: backend {manifest.backend}, this version has {', '.join(BACKENDS)}: build the engine again"
        )
    for name, digest in manifest.files.items():
        if not (directory / name).is_file():
            raise UserError(f"{directory / name}: missing, though {MANIFEST} names it: build the engine again")
        if sha256(directory / name) != digest:
            raise UserError(
                f"{directory / name}: not the file that was built (SHA-256 differs): build the engine again"
            )
    return manifest


def _to_json(manifest: Manifest) -> dict[str, Any]:
    values = dataclasses.asdict(manifest)
    precision = manifest.precision
    values["precision"] = {
        "asked": precision.requested,
        "stored": precision.stored,
        "executed": UNKNOWN if precision.executed is None else precision.executed,
    }
    if not manifest.source.default_style:
        del values["source"]["default_style"]  # equal to what earlier versions wrote
    values["parity"] = NOT_RUN if manifest.parity is None else manifest.parity
    return values


def _from_json(values: dict[str, Any]) -> Manifest:
    signature = values.pop("signature")
    source = values.pop("source")
    latency = values.pop("latency")
    parity = values.pop("parity")
    precision = values.pop("precision")
    executed = precision["executed"]
    return Manifest(
        source=Source(**{**source, "styles": tuple(source["styles"])}),
        precision=PrecisionReport(
            precision["asked"], precision["stored"], executed=None if executed == UNKNOWN else executed
        ),
        batch=BatchProfile(**values.pop("batch")),
        signature=Signature(
            tuple(_port_from(port) for port in signature["inputs"]),
            _port_from(signature["output"]),
            signature["styles"],
        ),
        parity=None if parity == NOT_RUN else parity,
        latency=None if latency is None else Latency(**latency),
        **values,
    )


def _port_from(values: dict[str, Any]) -> Port:
    return Port(values["name"], tuple(values["shape"]), values["dtype"])
