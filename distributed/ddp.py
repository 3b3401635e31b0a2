"""DistributedDataParallel for adversarial networks: one wrapper each, no exchange of buffers in the forward pass."""

import inspect
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from limner.distributed.context import WorkerContext


def wrap(network: nn.Module, context: WorkerContext) -> nn.Module:
    """Wrap `network` for the exchange of gradients; returns the network itself with one worker.

    Broadcasts rank 0's weights and buffers. Forward passes do not exchange buffers: in torch 2.11 that writes in place
    between a discriminator's pass on real and on fake images and breaks their common backward.
    """
    if context.world_size == 1:
        return network
    parameters = inspect.signature(DistributedDataParallel.__init__).parameters
    # torch 2.13 renamed the switch and warns about the old name.
    switch = "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"
    options: dict[str, Any] = {switch: False}
    if context.device.type == "cuda":
        options["device_ids"] = [context.device.index]
    return DistributedDataParallel(network, **options)
