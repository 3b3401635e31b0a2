"""Generators of junyanz/pytorch-CycleGAN-and-pix2pix: U-Nets and ResNets, of pix2pix and CycleGAN.

That repository saves a bare state dict. In its U-Nets block d is nested at index 1 (in the outermost block) or 3 (in
the others) of the block around it, so that its names begin with `model.`, d times `model.1.` or `model.3.`, `model.`.
Its ResNets are one sequence with a `conv_block` in each residual block. The networks compute the same as the ones here,
but for:

- batch norm: their tests run it by batch statistics at batch 1, which is instance norm with the same affine weights;
  the running statistics go unused. Their convolutions have no bias then, except the last.
- instance norm: theirs has no affine weights (here: 1 and 0), and every convolution has a bias; if a norm follows, it
  undoes the bias, and there is none here.
- dropout, which their pix2pix tests leave on, is off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from limner.core.config import require
from limner.core.networks.config import CheckpointNorm, PhotoGeneratorConfig, ResNetConfig, UNetConfig
from limner.core.networks.generator import Generator
from limner.core.networks.generators import STATISTICS, build_generator
from limner.core.util.errors import UserError

Weights = dict[str, Tensor]

UNET_FIRST, UNET_LAST = "model.model.0", "model.model.3"
"""The outermost convolutions of a U-Net."""
DEPTHS = range(5, 11)
"""Their U-Nets have at least 5 levels, the ones here at most 10."""
RESNET_FIRST, RESNET_BLOCKS = "model.1", 10
"""A ResNet's first convolution, and the index of its first residual block."""
OTHER_NETWORKS = {"model.0.weight": "a discriminator; give the generator, NAME_net_G.pth"}
MAX_KEYS = 6
"""Keys that an error names; of the others it gives the number."""


@dataclass(frozen=True)
class _Layer:
    """A convolution and the norm after it, if there is one, by their names in the checkpoint and here."""

    saved_conv: str
    conv: str
    saved_norm: str | None
    norm: str

    def names(self) -> Iterator[tuple[str, str]]:
        """(name here, name in the checkpoint) of all weights, including those that the checkpoint may lack."""
        yield f"{self.conv}.weight", f"{self.saved_conv}.weight"
        if self.saved_norm is None:
            yield f"{self.conv}.bias", f"{self.saved_conv}.bias"
        else:
            yield f"{self.norm}.weight", f"{self.saved_norm}.weight"
            yield f"{self.norm}.bias", f"{self.saved_norm}.bias"


@dataclass(frozen=True)
class _Architecture:
    """What a checkpoint was recognised as."""

    title: str
    config: PhotoGeneratorConfig
    layers: list[_Layer]
    last: str
    """The convolution that gives the image, by its name in the checkpoint; it has a bias with either norm."""


def load_junyanz(checkpoint: Path, norm: CheckpointNorm) -> Generator:
    """Read the generator of a NAME_net_G.pth: fp32, on the CPU, in eval mode, without gradients; instance norm.

    norm: what it was trained with (that repository's --norm). All else follows from names and shapes.
    Raises UserError, one line, if the file is no such generator, has keys or shapes too few, too many or other than
    they should be, or has those of the other norm. Running statistics may be there or not.
    """
    weights = _read(checkpoint)
    architecture = _recognise(checkpoint, weights, norm)
    _check_keys(checkpoint, weights, architecture, norm)
    config = architecture.config.inference()
    with torch.device("meta"):
        generator = build_generator(config, 0)
    names = dict(pair for layer in architecture.layers for pair in layer.names())
    state = {}
    for name, expected in generator.state_dict().items():
        saved = names[name]
        if saved not in weights:  # no bias is a bias of 0, no affine weight one of 1
            state[name] = torch.full(expected.shape, 0.0 if name.endswith("bias") else 1.0)
        elif weights[saved].shape != expected.shape:
            raise UserError(
                f"{checkpoint}: {saved} is {_shape(weights[saved])}, must be {_shape(expected)} in {architecture.title}"
            )
        else:
            state[name] = weights[saved].float()
    generator.load_state_dict(state, strict=True, assign=True)
    return generator.eval().requires_grad_(False)


def image_size_of(generator: Generator, given: int | None) -> int:
    """The side in pixels at which to use a generator; None: as published, 2^levels for a U-Net, 256 for a ResNet.

    UserError for one that the network cannot halve as often as it does.
    """
    config = generator.config
    stride, published = 4, 256
    if isinstance(config, UNetConfig):
        assert config.depth is not None
        stride = published = 2**config.depth
    size = published if given is None else given
    require(
        size > 0 and size % stride == 0, f"image-size {size}: must be a multiple of {stride} for this {config.kind}"
    )
    return size


def _read(checkpoint: Path) -> Weights:
    """The tensors of a state dict by name, without the `module.` that a parallel wrapper puts in front."""
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: no such file: give the checkpoint of a generator, NAME_net_G.pth")
    try:
        found = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint make the unpickler raise almost anything
        raise UserError(
            f"{checkpoint}: no checkpoint that can be read safely ({type(error).__name__}): "
            "it is damaged, or holds more than the plain weights of a NAME_net_G.pth"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UserError(f"{checkpoint}: holds no plain weights by name, as a NAME_net_G.pth does")
    wrapped = all(str(key).startswith("module.") for key in found)
    return {str(key).removeprefix("module." if wrapped else ""): value for key, value in found.items()}


def _recognise(checkpoint: Path, weights: Weights, norm: CheckpointNorm) -> _Architecture:
    if f"{UNET_FIRST}.weight" in weights:
        return _unet(checkpoint, weights, norm)
    if f"{RESNET_FIRST}.weight" in weights and f"model.{RESNET_BLOCKS}.conv_block.1.weight" in weights:
        return _resnet(checkpoint, weights, norm)
    kind = next((kind for key, kind in OTHER_NETWORKS.items() if key in weights), "no generator of junyanz's")
    raise UserError(f"{checkpoint}: {kind} (it has neither {UNET_FIRST}.weight nor {RESNET_FIRST}.weight and blocks)")


def _unet(checkpoint: Path, weights: Weights, norm: CheckpointNorm) -> _Architecture:
    width, in_channels = _conv_shape(checkpoint, weights, f"{UNET_FIRST}.weight")[:2]
    depth = max(key.split(".").count("model") for key in weights) - 1
    if depth not in DEPTHS:
        raise UserError(f"{checkpoint}: a U-Net of {depth} levels; it must have {DEPTHS[0]} to {DEPTHS[-1]}")
    last = f"{UNET_LAST}.weight"
    out_channels = _conv_shape(checkpoint, weights, last)[1] if last in weights else in_channels
    config = UNetConfig(in_channels, out_channels, width, norm, depth=depth, styles=0)
    title = f"a U-Net of width {width} and {depth} levels from {in_channels} to {out_channels} channels"
    return _Architecture(title, config, list(_unet_layers(depth)), UNET_LAST)


def _unet_layers(depth: int) -> Iterator[_Layer]:
    """All convolutions of a U-Net of `depth` levels, from the outermost in."""
    prefix = "model.model."
    for level in range(depth):
        outermost, innermost = level == 0, level == depth - 1
        down = 0 if outermost else 1  # behind a leaky ReLU, which the outermost has not
        up = 3 if outermost or innermost else 5  # behind encoder, block within and ReLU; those two lack a norm or block
        norm = None if outermost or innermost else f"{prefix}2"
        yield _Layer(f"{prefix}{down}", f"down.{level}.{down}", norm, f"down.{level}.2")
        norm = None if outermost else f"{prefix}{up + 1}"
        yield _Layer(f"{prefix}{up}", f"up.{level}.1", norm, f"up.{level}.2")
        prefix += "1.model." if outermost else "3.model."


def _resnet(checkpoint: Path, weights: Weights, norm: CheckpointNorm) -> _Architecture:
    width, in_channels = _conv_shape(checkpoint, weights, f"{RESNET_FIRST}.weight")[:2]
    num_blocks = len({key.split(".")[1] for key in weights if ".conv_block." in key})
    if num_blocks not in (6, 9):
        raise UserError(f"{checkpoint}: a ResNet of {num_blocks} blocks; it must have 6 or 9")
    head = f"model.{RESNET_BLOCKS + num_blocks + 7}"  # two times upsampling, norm and ReLU, then padding
    last = f"{head}.weight"
    out_channels = _conv_shape(checkpoint, weights, last)[0] if last in weights else in_channels
    kind: Literal["resnet9", "resnet6"] = "resnet9" if num_blocks == 9 else "resnet6"
    config = ResNetConfig(in_channels, out_channels, width, norm, kind=kind, styles=0)
    dropout = f"model.{RESNET_BLOCKS}.conv_block.6.weight" in weights and (
        weights[f"model.{RESNET_BLOCKS}.conv_block.6.weight"].ndim == 4  # without dropout a norm is there
    )
    title = f"a ResNet of width {width} and {num_blocks} blocks from {in_channels} to {out_channels} channels"
    return _Architecture(title, config, list(_resnet_layers(num_blocks, head, dropout)), head)


def _resnet_layers(num_blocks: int, head: str, dropout: bool) -> Iterator[_Layer]:
    """All convolutions of a ResNet in their order; dropout in a block moves what follows it on by one."""
    yield _Layer(RESNET_FIRST, "stem.1", "model.2", "stem.2")
    for level, index in enumerate((4, 7)):
        yield _Layer(f"model.{index}", f"down.{level}.0", f"model.{index + 1}", f"down.{level}.1")
    for block in range(num_blocks):
        prefix = f"model.{RESNET_BLOCKS + block}.conv_block"
        for half, index in enumerate((1, 6 if dropout else 5)):
            name = f"blocks.{block}.layers.{half}"
            yield _Layer(f"{prefix}.{index}", f"{name}.1", f"{prefix}.{index + 1}", f"{name}.2")
    for level in range(2):
        index = RESNET_BLOCKS + num_blocks + 3 * level
        yield _Layer(f"model.{index}", f"up.{level}.0", f"model.{index + 1}", f"up.{level}.1")
    yield _Layer(head, "head.1", None, "")


def _conv_shape(checkpoint: Path, weights: Weights, name: str) -> torch.Size:
    if weights[name].ndim != 4:
        raise UserError(f"{checkpoint}: {name} is {_shape(weights[name])}, not the weight of a convolution")
    return weights[name].shape


def _check_keys(checkpoint: Path, weights: Weights, architecture: _Architecture, norm: CheckpointNorm) -> None:
    """UserError unless `weights` has the keys of the architecture with this norm, and no others."""
    norms = [layer.saved_norm for layer in architecture.layers if layer.saved_norm is not None]
    last = f"{architecture.last}.bias"
    marks: dict[CheckpointNorm, list[str]] = {  # what each norm has and the other has not
        "batch": [f"{name}.{part}" for name in norms for part in ("weight", "bias")],
        "instance": [name for layer in architecture.layers if (name := f"{layer.saved_conv}.bias") != last],
    }
    other: CheckpointNorm = "instance" if norm == "batch" else "batch"
    others = [key for key in marks[other] if key in weights]
    if others and not any(key in weights for key in marks[norm]):
        raise UserError(f"{checkpoint}: --norm {norm}, but {others[0]} is there only with --norm {other}: give that")
    required = {*(f"{layer.saved_conv}.weight" for layer in architecture.layers), last, *marks[norm]}
    optional = {f"{name}.{part}" for name in norms for part in STATISTICS}
    wrong = {"missing": sorted(required - weights.keys()), "unknown": sorted(weights.keys() - required - optional)}
    found = [f"{kind} {_listed(keys)}" for kind, keys in wrong.items() if keys]
    if found:
        raise UserError(f"{checkpoint}: not {architecture.title} with --norm {norm}: keys {'; '.join(found)}")


def _listed(keys: list[str]) -> str:
    more = len(keys) - MAX_KEYS
    return ", ".join(keys[:MAX_KEYS]) + (f" and {more} more" if more > 0 else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
