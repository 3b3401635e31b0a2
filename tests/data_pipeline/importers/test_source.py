"""Archives as lists of files: what is damaged in one costs one file."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from limner.data_pipeline.images import ImageError
from limner.data_pipeline.importers.source import open_source


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_entry_is_rejected_and_the_others_are_read(
    tmp_path: Path, method: int, rng: np.random.Generator
) -> None:
    """Wherever its data are hurt."""
    content = rng.bytes(2000)
    path = tmp_path / "source.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in ("a.jpg", "b.jpg"):
            archive.writestr(name, content)
    intact = path.read_bytes()
    for start in range(len("a.jpg") + 30, 1900, 53):  # behind the entry's header
        path.write_bytes(intact[:start] + bytes(b ^ 0xFF for b in intact[start : start + 8]) + intact[start + 8 :])
        damaged, good = open_source(path)
        with pytest.raises(ImageError) as caught:
            damaged.read()
        assert (caught.value.reason, caught.value.file) == ("unreadable", "a.jpg")
        assert good.read() == content
