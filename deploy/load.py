"""Open a trained generator by directory or name, whatever it is stored as."""

from pathlib import Path
from typing import TYPE_CHECKING

from limner.core.runs import places
from limner.core.util.errors import UserError
from limner.deploy.engine import Engine, open_bundle, open_engine
from limner.deploy.manifest import MANIFEST
from limner.deploy.translation import Translator

if TYPE_CHECKING:  # imports torch, which a translator that runs on OpenVINO or ONNX Runtime works without
    from limner.deploy.sampling import Sampler

WEIGHTS = "generator.safetensors"
"""What a bundle is recognised by."""


def load(model: str | Path, *, device: str | None = None) -> "Translator | Sampler":
    """Open a model bundle, an engine, or the model of a run.

    model: a directory, or a name: models/NAME, runs/NAME/model, engines/NAME, or the shipped portrait-sketch.
    device: where torch runs a bundle, such as "cuda:1"; None: the GPU if there is one. An engine has its own.
    Returns a Translator if the generator takes photos, a Sampler if it takes noise. Raises UserError if there is no
    model, or this machine cannot run it.
    """
    directory = find_directory(model)
    engine = open_engine(directory) if (directory / MANIFEST).is_file() else _open_bundle(directory, device)
    if engine.signature.inputs[0].name == "photo":
        return Translator(engine)
    from limner.deploy.sampling import Sampler

    return Sampler(engine)


def find_directory(model: str | Path) -> Path:
    """Find the directory of a bundle or an engine; UserError if there is none."""
    for place in places(model):
        if (place / WEIGHTS).is_file() or (place / MANIFEST).is_file():
            return place
    raise UserError(
        f"{model}: not a model bundle (no {WEIGHTS}), an engine (no {MANIFEST}) or a run with a model: give the "
        "directory of one, or the name of one under models/, runs/ or engines/ (limner models lists them)"
    )


def _open_bundle(directory: Path, device: str | None) -> Engine:
    import torch

    from limner.core.bundle import load_bundle_config

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    from_noise = load_bundle_config(directory).signature.inputs[0].name == "latent"
    return open_bundle(directory, device=device, float64=from_noise)
