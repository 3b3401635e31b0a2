"""Portrait GANs from data to engine.

    import limner

    with limner.load("runs/fs2k") as translator:             # a run, a model bundle or an engine; by directory or name
        sketch = translator("photo.jpg", style="soft")       # a PIL image of the photo's own size

    sampler = limner.load("runs/faces")                      # a model of portraits from noise
    portraits = sampler(16, seed=0)

Importing costs nothing: a name's module is imported when the name is used first.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limner.core.util.errors import UserError
    from limner.deploy.engine import open_engine
    from limner.deploy.load import load
    from limner.deploy.sampling import Sampler
    from limner.deploy.translation import Translator

__version__ = "0.1.0"
__all__ = ["Sampler", "Translator", "UserError", "__version__", "load", "open_engine"]

_ROOT = Path(__file__).resolve().parents[1]
if (_ROOT / "pyproject.toml").is_file():  # a checkout, where core/, deploy/, ... are next to this folder
    __path__.append(str(_ROOT))

_MODULES = {
    "Sampler": "limner.deploy.sampling",
    "Translator": "limner.deploy.translation",
    "UserError": "limner.core.util.errors",
    "load": "limner.deploy.load",
    "open_engine": "limner.deploy.engine",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'limner' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
