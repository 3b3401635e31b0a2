"""`limner export`: any kept checkpoint of a run becomes a model bundle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from limner.core.config import BundleDtype, require
from limner.core.runs import CHECKPOINTS, MODEL, find_run
from limner.core.util.cli import parse
from limner.core.util.errors import UserError
from limner.core.util.log import log

if TYPE_CHECKING:  # what imports torch is imported on use, so that --help is fast
    from limner.core.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Options:
    """Turn a checkpoint of a run into a model bundle."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run directory, or the name of one under runs/."""
    out: Path
    """The bundle directory to make, such as models/NAME; an older bundle there is replaced."""
    checkpoint: Annotated[str, tyro.conf.arg(metavar="best|newest|IMAGES")] = "newest"
    """best: by the run's --keep-best; newest; or the number of images that a kept one had seen."""
    dtype: BundleDtype = "fp32"
    """How weights are stored; fp16 halves the file, and the generator still computes in fp32."""
    default_style: str = ""
    """The style that is used where none is asked for; empty: one must be."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Export, and tell what it became; arguments: None: those of this process."""
    options = parse(Options, arguments, prog="limner export")
    from limner.core.bundle import CONFIG, WEIGHTS, load_bundle_config, save_bundle
    from limner.core.training.checkpoint import list_checkpoints, load_checkpoint
    from limner.core.training.state import inference_generator

    run, out = find_run(options.run), options.out
    is_bundle = (out / CONFIG).is_file() and (out / WEIGHTS).is_file()
    require(is_bundle or not out.exists(), f"{out} exists and is no model bundle: give another --out")
    checkpoint = choose_checkpoint(list_checkpoints(run / CHECKPOINTS), options.checkpoint, run)
    config = replace(load_bundle_config(run / MODEL), default_style=options.default_style)
    save_bundle(out, inference_generator(load_checkpoint(checkpoint), config), config, options.dtype)
    megabytes = (out / WEIGHTS).stat().st_size / 1e6
    log.info(f"checkpoint of image {checkpoint.seen_images}{_scored(checkpoint)}, {options.dtype}, {megabytes:.1f} MB")
    log.info(f"model: {out}")


def choose_checkpoint(kept: Sequence["Checkpoint"], wanted: str, run: Path) -> "Checkpoint":
    """Choose among the kept checkpoints, oldest first; UserError, which names them, if none is the wanted one."""
    from limner.core.training.checkpoint import find_best

    require(bool(kept), f"{run} has no checkpoints: limner train makes them")
    images = ", ".join(str(checkpoint.seen_images) for checkpoint in kept)
    if wanted == "newest":
        return kept[-1]
    if wanted == "best":
        best = find_best(kept)
        if best is None:
            raise UserError(f"checkpoint best: none of {run} was validated; give newest, or one of {images}")
        return best
    found = [checkpoint for checkpoint in kept if str(checkpoint.seen_images) == wanted]
    require(bool(found), f"checkpoint {wanted}: must be best, newest, or one of {images}")
    return found[0]


def _scored(checkpoint: "Checkpoint") -> str:
    return "" if checkpoint.score is None else f" (score {checkpoint.score:.4f})"
