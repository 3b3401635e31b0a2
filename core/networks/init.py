"""Initial weights, drawn from a seed of their own so that they do not depend on what was drawn before."""

import torch
from torch import nn


@torch.no_grad()
def init_weights(network: nn.Module, seed: int, std: float = 0.02) -> None:
    """Convolutions and linear layers ~ N(0, std), norm weights ~ N(1, std), all biases 0, in place.

    std 0.02 is Radford et al. 2016, section 3, and Isola et al. 2017, section 6.2.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.weight.normal_(0.0, std, generator=generator)
        elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
            module.weight.normal_(1.0, std, generator=generator)
        else:
            continue
        if module.bias is not None:
            module.bias.zero_()
