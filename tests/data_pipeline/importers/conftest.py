"""Miniature releases, written as their sources are downloaded."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from limner.core.images import Uint8Image

Write = Callable[..., None]


@pytest.fixture
def tagged() -> Callable[[int], Uint8Image]:
    """An image of one colour that encodes a number and survives JPEG."""

    def paint(number: int, height: int = 30, width: int = 24) -> Uint8Image:
        return np.full((height, width, 3), 8 * number, np.uint8)

    return paint


@pytest.fixture
def write(tagged: Callable[..., Uint8Image]) -> Write:
    """Write image `number` under a path, encoded by its extension."""

    def put(path: Path, number: int, height: int = 30, width: int = 24) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _, data = cv2.imencode(path.suffix.lower(), tagged(number, height, width))
        path.write_bytes(data.tobytes())

    return put


@pytest.fixture
def fs2k(tmp_path: Path, write: Write) -> Path:
    """Nine training pairs and three test pairs in three styles; mixed extensions; photo n goes with sketch n."""
    root = tmp_path / "source" / "FS2K"
    annotations: dict[str, list[dict[str, Any]]] = {"anno_train.json": [], "anno_test.json": []}
    for number in range(12):
        style, part = number % 3, "anno_test.json" if number >= 9 else "anno_train.json"
        folder, name = style + 1, f"{number:04d}"
        write(root / f"photo/photo{folder}/image{name}{'.JPG' if number % 2 else '.jpg'}", number)
        write(root / f"sketch/sketch{folder}/sketch{name}{'.png' if number % 4 == 0 else '.jpg'}", number)
        row = {"image_name": f"photo{folder}/image{name}", "style": style, "hair": number % 2, "lip_color": [1, 2, 3]}
        annotations[part].append(row)
    for part, rows in annotations.items():
        (root / part).write_text(json.dumps(rows))
    return root


@pytest.fixture
def zipped() -> Callable[[Path, Path], Path]:
    """A folder as a zip with a folder at its top and a Mac's system files."""

    def pack(folder: Path, target: Path) -> Path:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
            archive.writestr(f"__MACOSX/{folder.name}/._anno_train.json", b"system")
            archive.writestr(f"{folder.name}/.DS_Store", b"system")
        return target

    return pack
