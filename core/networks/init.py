"""Initial weights, from a seed of their own so that they do not depend on random numbers used before."""

import torch
from torch import nn


@torch.no_grad()
def init_weights(network: nn.Module, seed: int, std: float | None = 0.02) -> None:
    """Convolutions and linear layers ~ N(0, std), norm weights ~ N(1, std), all biases 0, in place.

    std 0.02 is Radford et al. 2016, section 3, and Isola et al. 2017, section 6.2. None: 1 / sqrt(inputs of a weight's
    unit), which keeps the variance where no norm follows (LeCun et al. 1998, "Efficient BackProp", section 4.6).
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            spread = module.weight[0].numel() ** -0.5 if std is None else std
            module.weight.normal_(0.0, spread, generator=generator)
        elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
            module.weight.normal_(1.0, std or 0.0, generator=generator)
        else:
            continue
        if module.bias is not None:
            module.bias.zero_()
