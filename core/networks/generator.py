"""What every generator is, whatever it generates from."""

from typing import ClassVar

from torch import nn

from limner.core.networks.config import GeneratorConfig


class Generator(nn.Module):
    """A network that its config and an image size rebuild: see core/networks/generators.py."""

    config: GeneratorConfig
    initial_std: ClassVar[float | None] = 0.02
    """Of initial weights; None: by the inputs of each unit (core/networks/init.py)."""
