"""What validators share: a generator at rest, and its images as they are looked at."""

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn, no_grad


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put `network` into eval mode without gradients within the block, then back as it was."""
    training = network.training
    network.eval()
    try:
        with no_grad():
            yield
    finally:
        network.train(training)


def run_generator(generator: nn.Module, source: Tensor, style: Tensor) -> Tensor:
    """Run a generator in eval mode on photos or latents and styles (N,) int64; returns (N, C, S, S) on the CPU."""
    with evaluating(generator):
        images: Tensor = generator(source, style)
    return images.float().cpu()
