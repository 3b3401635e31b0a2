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

from limner.core.config import BundleDtype, Fit, require
from limner.core.networks.config import GeneratorConfig
from limner.core.networks.generator import Generator
from limner.core.networks.generators import GENERATORS, build_generator
from limner.core.signature import Signature
from limner.core.util.errors import UserError
from limner.core.util.files import atomic_directory

FORMAT = 2
"""Format 1 named no kind of generator; it is read too."""
OLD_KINDS = {"paper": "dcgan", "modern": "residual"}
"""Of format 1, by the architecture of generators from noise."""
WEIGHTS, CONFIG, CARD = "generator.safetensors", "config.json", "README.md"


@dataclass(frozen=True)
class BundleConfig:
    """All that rebuilds a generator and feeds it: the content of config.json."""

    task: str
    image_size: int
    fit: Fit
    """How an image of another shape becomes a square input; what the training data was prepared with."""
    styles: tuple[str, ...]
    """Names of the styles that the generator was conditioned on, by number; empty if it was not."""
    generator: GeneratorConfig
    default_style: str = ""
    """The style that is taken where none is asked for; empty: one must be."""

    def __post_init__(self) -> None:
        known = not self.default_style or self.default_style in self.styles
        allowed = ", ".join(self.styles) or "none, the generator has no styles"
        require(known, f"default-style {self.default_style}: must be one of {allowed}")

    @property
    def signature(self) -> Signature:
        """The ports of the generator."""
        return self.generator.signature(self.image_size)

    def build(self) -> Generator:
        """Build the generator; its weights are arbitrary until some are loaded."""
        return build_generator(self.generator, self.image_size)


def save_bundle(directory: Path, generator: nn.Module, config: BundleConfig, dtype: BundleDtype = "fp32") -> None:
    """Write the bundle; it replaces an older one whole.

    dtype: of the weights in the file; they are loaded as fp32. UserError for weights that fp16 cannot hold.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.state_dict().items()}
    if dtype == "fp16":
        weights = {name: _to_half(name, tensor) for name, tensor in weights.items()}
    values = {"format": FORMAT, **dataclasses.asdict(config)}
    values["generator"]["kind"] = config.generator.kind
    if not config.default_style:
        del values["default_style"]  # equal to what earlier versions wrote
    text = json.dumps(values, indent=2, sort_keys=True)
    with atomic_directory(directory) as tmp_path:
        # Not save_file: it makes a file that others may not read, and hides a full disk behind an error of its own.
        (tmp_path / WEIGHTS).write_bytes(safetensors.torch.save(weights))
        (tmp_path / CONFIG).write_text(text + "\n", encoding="utf-8")
        (tmp_path / CARD).write_text(_model_card(config, weights, dtype), encoding="utf-8")


def _to_half(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    require(bool(half.isfinite().all()), f"dtype fp16: {name} has values beyond its range, store the model in fp32")
    return half


def load_bundle_config(directory: Path | str) -> BundleConfig:
    """Read config.json; UserError where the directory is no bundle, or one of another format."""
    path = Path(directory) / CONFIG
    if not path.is_file() or not (Path(directory) / WEIGHTS).is_file():
        raise UserError(
            f"{directory}: not a model bundle (no {CONFIG} and {WEIGHTS}): give a finished run or its model/ directory"
        )
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = values.pop("format", None)
        if found not in (1, FORMAT):
            raise UserError(
                f"{path}: bundle format {found}, this version reads formats 1 and {FORMAT}: export the model again"
            )
        generator = _generator_from(values.pop("generator"))
        return BundleConfig(generator=generator, styles=tuple(values.pop("styles")), **values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: damaged bundle config ({error}): export the model again") from error


def load_generator(directory: Path | str) -> Generator:
    """The generator of a bundle: fp32, on the CPU, in eval mode, without gradients; NCHW float in [-1, 1].

    The architecture comes from config.json alone; weights must match it exactly.
    """
    config = load_bundle_config(directory)
    generator = config.build()
    path = Path(directory) / WEIGHTS
    try:
        generator.load_state_dict(safetensors.torch.load_file(path), strict=True)
    except (safetensors.SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: damaged or foreign weights ({reason}): copy or export the bundle again") from error
    return generator.eval().requires_grad_(False)


def _generator_from(values: dict[str, Any]) -> GeneratorConfig:
    """The generator's config from its JSON; format 1 is recognised by having no kind."""
    kind = values.pop("kind", None) or OLD_KINDS.get(values.get("architecture", ""), "unet")
    config = GENERATORS[kind].config
    if "kind" in {field.name for field in dataclasses.fields(config)}:
        values["kind"] = kind
    generator: GeneratorConfig = config(**values)
    if generator.kind != kind:
        raise ValueError(f"generator kind {kind} with the fields of {generator.kind}")
    return generator


def _model_card(config: BundleConfig, weights: dict[str, Tensor], dtype: BundleDtype) -> str:
    millions = sum(tensor.numel() for name, tensor in weights.items() if "num_batches" not in name) / 1e6
    size = config.image_size
    source = config.signature.inputs[0]
    styles = f" Styles, by number: {', '.join(config.styles)}." if config.styles else ""
    styles += f" Without --style it is {config.default_style}." if config.default_style else ""
    if source.name == "photo":
        ports = f"""In: an RGB portrait photo, (N, 3, {size}, {size}) float in [-1, 1], made square by
`{config.fit}`. Out: its pencil sketch in the same format.{styles}"""
        command = "limner translate photo.jpg --model THIS_DIRECTORY --out out/"
        limits = """Trained on portraits: other subjects give poor sketches, and faces unlike those of the training data
come out less well."""
    else:
        ports = f"""In: latents, (N, {source.shape[0]}) float from N(0, 1). Out: RGB portraits of nobody,
(N, 3, {size}, {size}) float in [-1, 1].{styles}"""
        command = "limner sample --model THIS_DIRECTORY --count 64 --out out/"
        limits = """It cannot generate what the training data lacks, and a portrait may come close to one of the data
(`--data` shows the nearest)."""
    return f"""# Limner {config.task} generator

{millions:.2f} M values in {dtype}. {ports}

    import limner
    model = limner.load("THIS_DIRECTORY")

or `{command}`. Architecture: config.json; weights: generator.safetensors.

{limits} Mind the licence of the data it was trained on before you pass it on.
"""


def bundle_hash(directory: Path | str) -> str:
    """SHA-256 over config and weights, in hexadecimal: names the generator that an engine was made from."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        with (Path(directory) / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
