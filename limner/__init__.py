"""Portrait GANs from data to engine."""

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
if (_ROOT / "pyproject.toml").is_file():  # a checkout: core/, deploy/, ... lie beside this folder
    __path__.append(str(_ROOT))
