"""`limner bench`: the benchmarks by name."""

from collections.abc import Sequence
from importlib import import_module

from limner.core.util.subcommands import pick

BENCHMARKS = {
    "infer": "a model and its engines: latency, throughput, agreement",
    "train": "training steps, alone and fed by each loader",
    "data": "the data loaders against torch's own",
    "scaling": "launchers and numbers of workers",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark that the first argument names."""
    name, rest = pick("limner bench", "Time one thing against its baseline and file the rows.", BENCHMARKS, arguments)
    import_module(f"limner.benchmarks.{name}").main(rest)
