"""Generators that other people trained: a U-Net of junyanz/pytorch-CycleGAN-and-pix2pix becomes ours.

That repository saves a bare state dict of nested blocks. Block d stands at index 1 (in the outermost block) or 3 (in
the others) of the block around it, so that its names begin with `model.`, d times `model.1.` or `model.3.`, `model.`.
Both networks compute the same, skips first in every concatenation, but for what differs here:

- batch norm: their tests run it by batch statistics at batch 1, which is instance norm with the same affine weights;
  the running statistics go unused. Their convolutions have no bias then, except the last.
- instance norm: theirs has no affine weights (ours: 1 and 0), and every convolution has a bias; where a norm follows,
  it undoes the bias, and ours has none.
- dropout, which their tests leave on, is off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from limner.core.networks.config import UNetConfig
from limner.core.networks.generators import STATISTICS
from limner.core.networks.unet import UNet
from limner.core.util.errors import UserError

ForeignNorm = Literal["batch", "instance"]

FIRST = "model.model.0.weight"
"""The outermost encoder convolution's name, which only their U-Nets have."""
DEPTHS = range(5, 11)
"""Their U-Nets have at least 5 levels, ours at most 10."""
STRANGERS = {
    "model.1.weight": "a ResNet generator; a U-Net is needed (--netG unet_128 or unet_256)",
    "model.0.weight": "a discriminator; give the generator, NAME_net_G.pth",
}
NAMED = 6
"""Keys that an error names; of the others it gives the number."""


@dataclass(frozen=True)
class _Stage:
    """A convolution and the norm after it, if there is one, by their names in the two networks."""

    conv: str
    our_conv: str
    norm: str | None
    our_norm: str


def load_junyanz(checkpoint: Path, norm: ForeignNorm) -> UNet:
    """The U-Net of a `latest_net_G.pth`: fp32, on the CPU, in eval mode, without gradients; instance norm.

    norm: what it was trained with (that repository's --norm). Width and depth follow from the shapes.
    Raises UserError, one line, where the file is none of these, has keys or shapes too few, too many or other than they
    should be, or has those of the other norm. Running statistics may be there or not.
    """
    weights = _read(checkpoint)
    if FIRST not in weights:
        kind = next((kind for key, kind in STRANGERS.items() if key in weights), "no U-Net of junyanz's pix2pix")
        raise UserError(f"{checkpoint}: {kind} (it has no key {FIRST})")
    if weights[FIRST].ndim != 4:
        raise UserError(f"{checkpoint}: {FIRST} is {_shape(weights[FIRST])}, not the weight of a convolution")
    depth = max(key.split(".").count("model") for key in weights) - 1
    if depth not in DEPTHS:
        raise UserError(f"{checkpoint}: a U-Net of {depth} levels; it must have {DEPTHS[0]} to {DEPTHS[-1]}")
    stages = list(_stages(depth))
    _check_keys(checkpoint, weights, stages, norm)

    config = UNetConfig(width=len(weights[FIRST]), depth=depth, norm=norm, styles=0).inference()
    with torch.device("meta"):
        generator = UNet(config)
    renamed = {ours: theirs for stage in stages for ours, theirs in _pairs(stage)}
    state = {}
    for ours, expected in generator.state_dict().items():
        theirs = renamed[ours]
        if theirs not in weights:  # no bias is a bias of 0, no affine weight one of 1
            state[ours] = torch.full(expected.shape, 0.0 if ours.endswith("bias") else 1.0)
        elif weights[theirs].shape != expected.shape:
            raise UserError(
                f"{checkpoint}: {theirs} is {_shape(weights[theirs])}, must be {_shape(expected)} "
                f"in a U-Net of width {config.width} and {depth} levels from RGB to RGB"
            )
        else:
            state[ours] = weights[theirs].float()
    generator.load_state_dict(state, strict=True, assign=True)
    return generator.eval().requires_grad_(False)


def _read(checkpoint: Path) -> dict[str, Tensor]:
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


def _stages(depth: int) -> Iterator[_Stage]:
    """All convolutions of a U-Net of `depth` levels, from the outermost in."""
    prefix = "model.model."
    for level in range(depth):
        outermost, innermost = level == 0, level == depth - 1
        down = 0 if outermost else 1  # behind a leaky ReLU, which the outermost has not
        up = 3 if outermost or innermost else 5  # behind encoder, block within and ReLU; those two lack a norm or block
        yield _Stage(
            conv=f"{prefix}{down}",
            our_conv=f"down.{level}.{down}",
            norm=None if outermost or innermost else f"{prefix}2",
            our_norm=f"down.{level}.2",
        )
        yield _Stage(
            conv=f"{prefix}{up}",
            our_conv=f"up.{level}.1",
            norm=None if outermost else f"{prefix}{up + 1}",
            our_norm=f"up.{level}.2",
        )
        prefix += "1.model." if outermost else "3.model."


def _pairs(stage: _Stage) -> Iterator[tuple[str, str]]:
    """(our name, their name) of all weights of a stage, including those that they may lack."""
    yield f"{stage.our_conv}.weight", f"{stage.conv}.weight"
    if stage.norm is None:
        yield f"{stage.our_conv}.bias", f"{stage.conv}.bias"
    else:
        yield f"{stage.our_norm}.weight", f"{stage.norm}.weight"
        yield f"{stage.our_norm}.bias", f"{stage.norm}.bias"


def _check_keys(checkpoint: Path, weights: dict[str, Tensor], stages: list[_Stage], norm: ForeignNorm) -> None:
    """UserError unless `weights` has the keys of a U-Net with this norm, and no others."""
    norms = [stage.norm for stage in stages if stage.norm is not None]
    last = "model.model.3.bias"  # has a bias under either norm
    marks: dict[ForeignNorm, list[str]] = {  # what each norm has and the other has not
        "batch": [f"{name}.{part}" for name in norms for part in ("weight", "bias")],
        "instance": [f"{stage.conv}.bias" for stage in stages if f"{stage.conv}.bias" != last],
    }
    other: ForeignNorm = "instance" if norm == "batch" else "batch"
    others = [key for key in marks[other] if key in weights]
    if others and not any(key in weights for key in marks[norm]):
        raise UserError(f"{checkpoint}: --norm {norm}, but {others[0]} is there only with --norm {other}: give that")
    required = {*(f"{stage.conv}.weight" for stage in stages), last, *marks[norm]}
    optional = {f"{name}.{part}" for name in norms for part in STATISTICS}
    wrong = {"missing": sorted(required - weights.keys()), "unknown": sorted(weights.keys() - required - optional)}
    said = [f"{kind} {_listed(keys)}" for kind, keys in wrong.items() if keys]
    if said:
        raise UserError(f"{checkpoint}: no U-Net of junyanz's pix2pix with --norm {norm}: keys {'; '.join(said)}")


def _listed(keys: list[str]) -> str:
    more = len(keys) - NAMED
    return ", ".join(keys[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
