"""The trained generator as users get it: a directory with generator.safetensors, config.json and a model card.

Its bytes depend on the weights and the architecture only, so that equal weights are equal files.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from limner.core.config import DCGANGeneratorConfig, Fit, UNetConfig
from limner.core.networks.dcgan import DCGANGenerator
from limner.core.networks.residual import ModernGenerator
from limner.core.networks.unet import UNet
from limner.core.signature import Port, Signature
from limner.core.util.errors import UserError
from limner.core.util.files import atomic_directory

FORMAT = 1
GENERATOR_CONFIGS: dict[str, type[UNetConfig] | type[DCGANGeneratorConfig]] = {
    "pix2pix": UNetConfig,
    "dcgan": DCGANGeneratorConfig,
}
WEIGHTS, CONFIG, CARD = "generator.safetensors", "config.json", "README.md"


@dataclass(frozen=True)
class BundleConfig:
    """All that rebuilds a generator and feeds it: the content of config.json."""

    task: str
    image_size: int
    fit: Fit
    """How a picture of another shape becomes a square input; what the training data was prepared with."""
    styles: tuple[str, ...]
    """Names of the styles that the generator was conditioned on, by number; empty if it was not."""
    generator: UNetConfig | DCGANGeneratorConfig


def save_bundle(directory: Path, generator: nn.Module, config: BundleConfig) -> None:
    """Write the bundle; it replaces an older one whole."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.state_dict().items()}
    text = json.dumps({"format": FORMAT, **dataclasses.asdict(config)}, indent=2, sort_keys=True)
    with atomic_directory(directory) as tmp_path:
        # Not save_file: it makes a file that others may not read, and hides a full disk behind an error of its own.
        (tmp_path / WEIGHTS).write_bytes(safetensors.torch.save(weights))
        (tmp_path / CONFIG).write_text(text + "\n", encoding="utf-8")
        (tmp_path / CARD).write_text(_model_card(config, weights), encoding="utf-8")


def load_bundle_config(directory: Path | str) -> BundleConfig:
    """Read config.json; UserError where the directory is no bundle, or one of another format."""
    path = Path(directory) / CONFIG
    if not path.is_file() or not (Path(directory) / WEIGHTS).is_file():
        raise UserError(
            f"{directory}: not a model bundle (no {CONFIG} and {WEIGHTS}): give the model/ directory of a finished run"
        )
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = values.pop("format", None)
        if found != FORMAT:
            raise UserError(
                f"{path}: bundle format {found}, this version reads format {FORMAT}: export the model again"
            )
        generator = GENERATOR_CONFIGS[values["task"]](**values.pop("generator"))
        return BundleConfig(generator=generator, styles=tuple(values.pop("styles")), **values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: damaged bundle config ({error}): export the model again") from error


def load_generator(directory: Path | str) -> nn.Module:
    """The generator of a bundle: fp32, on the CPU, in eval mode, without gradients; NCHW float in [-1, 1].

    The architecture comes from config.json alone; weights must match it exactly.
    """
    config = load_bundle_config(directory)
    generator = build_generator(config)
    path = Path(directory) / WEIGHTS
    try:
        generator.load_state_dict(safetensors.torch.load_file(path), strict=True)
    except (safetensors.SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: damaged or foreign weights ({reason}): copy or export the bundle again") from error
    return generator.eval().requires_grad_(False)


def build_generator(config: BundleConfig) -> nn.Module:
    """The generator that a bundle's config describes; its weights are arbitrary until some are loaded."""
    generator = config.generator
    if isinstance(generator, UNetConfig):
        return UNet(generator)
    build = ModernGenerator if generator.architecture == "modern" else DCGANGenerator
    return build(generator, config.image_size)


def bundle_signature(config: BundleConfig) -> Signature:
    """The float signature of a bundle's generator."""
    generator, side = config.generator, config.image_size
    if isinstance(generator, UNetConfig):
        inputs = [Port("photo", (generator.in_channels, side, side), "float32")]
    else:
        inputs = [Port("latent", (generator.latent,), "float32")]
    if generator.styles:
        inputs.append(Port("style", (), "int64"))
    return Signature(tuple(inputs), Port("image", (generator.out_channels, side, side), "float32"), generator.styles)


def _model_card(config: BundleConfig, weights: dict[str, Tensor]) -> str:
    millions = sum(tensor.numel() for name, tensor in weights.items() if "num_batches" not in name) / 1e6
    size = config.image_size
    styles = f" Styles, by number: {', '.join(config.styles)}." if config.styles else ""
    if isinstance(config.generator, UNetConfig):
        ports = f"""In: an RGB portrait photo, (N, 3, {size}, {size}) float in [-1, 1], brought to a
square by `{config.fit}`. Out: its pencil sketch in the same format.{styles}"""
        command = "python scripts/translate.py --model THIS_DIRECTORY photo.jpg --out out/"
        limits = """Trained on portraits: other subjects give poor sketches, and faces unlike those of the training
data are drawn less well. Mind"""
    else:
        ports = f"""In: latents, (N, {config.generator.latent}) float drawn from N(0, 1). Out: RGB
portraits of nobody, (N, 3, {size}, {size}) float in [-1, 1].{styles}"""
        command = "python scripts/sample.py --model THIS_DIRECTORY --count 64 --out out/"
        limits = """What the training data lacks is not drawn, and a portrait may come near to one of
the data (`--data` shows the nearest). Mind"""
    return f"""# Limner {config.task} generator

{millions:.2f} M values in fp32. {ports}

    from limner.core.bundle import load_generator
    generator = load_generator("this directory")

or `{command}`. Architecture: config.json; weights:
generator.safetensors. {limits} the licence of the data it was trained on before you pass it on.
"""


def bundle_hash(directory: Path | str) -> str:
    """SHA-256 over config and weights, in hexadecimal: names the generator that an engine was made from."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        with (Path(directory) / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
