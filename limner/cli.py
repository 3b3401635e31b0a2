"""The command `limner VERB ...`; each verb is also a script of that name, which calls the same `main`."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from limner import __version__
from limner.core.util.errors import run_command
from limner.core.util.subcommands import pick

ABOUT = "Portrait GANs from data to engine: photo to sketch (pix2pix) and portraits from noise (dcgan)."
VERBS = {
    "prepare": ("limner.commands.prepare", "turn images as downloaded into a dataset directory"),
    "train": ("limner.commands.train", "train a generator, or resume its run"),
    "translate": ("limner.commands.translate", "turn portrait photos into sketches"),
    "sample": ("limner.commands.sample", "generate portraits from noise"),
    "evaluate": ("limner.commands.evaluate", "compare what a generator makes with real images"),
    "build": ("limner.deploy.trt.build_engine", "compile a model into an engine for this machine"),
    "bench": ("limner.commands.bench", "time inference, training, data loading and scaling"),
    "models": ("limner.commands.models", "list the models and engines that are there"),
    "export": ("limner.commands.export", "turn a checkpoint of a run into a model"),
    "import": ("limner.commands.import_junyanz", "convert a generator of pytorch-CycleGAN-and-pix2pix"),
    "weights": ("limner.commands.weights", "install published weights for perceptual metrics and losses"),
    "doctor": ("limner.commands.doctor", "show what this machine has and what Limner would choose"),
}
"""verb -> its module, which is imported on use, and what it does."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the verb that the first argument names; arguments: None: those of this process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--version"]:
        print(f"limner {__version__}")
        return
    verb, rest = pick("limner", ABOUT, {name: about for name, (_, about) in VERBS.items()}, given or ["--help"])
    import_module(VERBS[verb][0]).main(rest)


def run(*verb: str) -> NoReturn:
    """What `limner` and, with their verb, the scripts do: run it with this process's arguments, and exit."""
    run_command(lambda: main([*verb, *sys.argv[1:]]))
