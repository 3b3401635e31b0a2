"""DistributedDataParallel for adversarial networks: one wrapper each, buffers left alone in the forward pass."""

import inspect
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from limner.distributed.context import WorkerContext


def wrap(network: nn.Module, context: WorkerContext) -> nn.Module:
    """`network` as it is called where gradients are exchanged; the network itself with one worker.

    Rank 0's weights and buffers go to all ranks here. Later forward passes do not exchange buffers: in torch 2.11 that
    writes in place between a discriminator's pass on real and on fake images and breaks their common backward.
    """
    if context.world == 1:
        return network
    parameters = inspect.signature(DistributedDataParallel.__init__).parameters
    # torch 2.13 renamed the switch and warns about the old name.
    switch = "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"
    options: dict[str, Any] = {switch: False}
    if context.device.type == "cuda":
        options["device_ids"] = [context.device.index]
    return DistributedDataParallel(network, **options)
