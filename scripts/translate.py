"""Turn portrait photos into sketches: `python scripts/translate.py PHOTO_OR_FOLDER... --model DIR --out out/`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import tyro

from limner.core.bundle import BundleConfig, load_bundle_config
from limner.core.config import require
from limner.core.image_grid import comparison_sheet, save_png
from limner.core.images import Uint8Image
from limner.core.runs import find_model
from limner.core.util.cli import parse
from limner.core.util.errors import UserError, run_command
from limner.core.util.progress import track
from limner.data_pipeline.images import ImageError, read_image
from limner.deploy.engine import open_bundle
from limner.deploy.translation import Mode, check_out, find_pictures, translate, translate_tiled


@dataclass(frozen=True)
class Command:
    """Turn portrait photos into sketches of the same size, one PNG for each under its name."""

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Picture files, or folders, which are searched for pictures."""
    model: str = ""
    """The model bundle; left out: that of the newest run."""
    out: Path = Path("out")
    style: str = ""
    """Name or number of the style, for a model that has several."""
    mode: Mode = "model"
    """model: fitted as in training; stretch, pad, crop: the whole picture; tile: full resolution, piece by piece."""
    compare: bool = False
    """Also write sheets/compare_01.png and on: photos beside their sketches."""
    batch_size: int = 8


def main() -> None:
    """Translate what can be read; name what cannot, and end with exit code 2 if there was any."""
    command = parse(Command)
    require(command.batch_size >= 1, f"batch-size {command.batch_size}: must be at least 1")
    require(bool(command.photos), "no photo given: name picture files or folders")
    model = find_model(command.model)
    config = load_bundle_config(model)
    require(config.task == "pix2pix", f"{model}: a {config.task} model makes no sketches, give one of task pix2pix")
    style, fit = style_number(command.style, config), config.fit if command.mode == "model" else command.mode
    named, failures = find_pictures(command.photos), []
    starts = range(0, len(named), command.batch_size)
    sketch_files = {name: command.out / f"{name}.png" for name, _ in named}
    sheet_files = [command.out / "sheets" / f"compare_{i + 1:02d}.png" for i in range(len(starts) * command.compare)]
    check_out(command.out, command.photos, [path for _, path in named], [*sketch_files.values(), *sheet_files])
    with open_bundle(model, device="cuda" if torch.cuda.is_available() else "cpu") as engine:

        def generate(squares: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
            return engine.infer(squares, None if style is None else np.full(len(squares), style))

        for number, start in enumerate(track(starts, len(starts), "translating")):
            photos: dict[str, Uint8Image] = {}
            for name, path in named[start : start + command.batch_size]:
                try:
                    photos[name] = read_image(path)
                except ImageError as error:
                    failures.append(str(error))
            if fit == "tile":
                size, batch = config.image_size, command.batch_size
                sketches = [translate_tiled(photo, generate, size, batch) for photo in photos.values()]
            else:
                sketches = translate(list(photos.values()), generate, config.image_size, fit) if photos else []
            for name, sketch in zip(photos, sketches, strict=True):
                save_png(sketch_files[name], sketch)
            if command.compare and photos:
                sheet = comparison_sheet({"photo": list(photos.values()), "sketch": sketches})
                save_png(sheet_files[number], sheet)
    print(f"{len(named) - len(failures)} sketches in {command.out}")
    if failures:
        raise UserError(f"{len(failures)} pictures could not be read: {'; '.join(failures)}")


def style_number(given: str, config: BundleConfig) -> int | None:
    """The number of the style that a user named or numbered; None for a model without styles."""
    if not config.styles:
        require(not given, f"style {given!r}: this model was trained without styles, leave --style out")
        return None
    numbered = {name: number for number, name in enumerate(config.styles)}
    numbered |= {str(number): number for number in range(len(config.styles))}
    allowed = ", ".join(f"{number} ({name})" for number, name in enumerate(config.styles))
    require(given in numbered, f"style {given!r}: give --style, one of {allowed}")
    return numbered[given]


if __name__ == "__main__":
    run_command(main)
