"""One worker among the others: its rank, its device, and the few things ranks say to each other."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from limner.core.config import LaunchConfig
from limner.core.training.loop import Progress

log = logging.getLogger("limner")


def worker_threads(launch: LaunchConfig, workers_here: int) -> int:
    """CPU threads of each of the workers on this machine."""
    return launch.cpus_per_worker or max(1, (os.cpu_count() or 1) // workers_here)


class WorkerContext:
    """What core/loop.py asks of its surroundings, over torch.distributed where there are several workers.

    Words between ranks go over gloo and the CPU, also beside NCCL: they are few, small, and must not wait for a GPU.
    """

    def __init__(
        self,
        rank: int,
        world: int,
        device: torch.device,
        threads: int,
        stop: threading.Event,
        post: Callable[[Progress], None],
    ) -> None:
        """stop: set when somebody asks this process to stop; post: takes progress to whoever shows it (rank 0)."""
        self.rank = rank
        self.world = world
        self.device = device
        self.threads = threads
        self.post = post
        self._stop = stop
        self._group = dist.new_group(backend="gloo") if world > 1 else None

    def stop_requested(self) -> bool:
        """Whether any rank was asked to stop; the same answer on every rank at the same step."""
        if self.world == 1:
            return self._stop.is_set()
        flag = torch.tensor(int(self._stop.is_set()))
        dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self._group)
        return bool(flag)

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a vector over the ranks, on the CPU."""
        return self._reduce(values, dist.ReduceOp.SUM) / self.world

    def minimum(self, value: Tensor) -> Tensor:
        """Smallest of a scalar over the ranks, on the CPU."""
        return self._reduce(value, dist.ReduceOp.MIN)

    def gather(self, value: Any) -> list[Any]:
        """`value` of every rank, by rank; on every rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value, group=self._group)
        return values

    def broadcast(self, value: Any) -> Any:
        """Rank 0's `value`, on every rank."""
        if self.world == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self._group)
        return values[0]

    def say(self, line: str) -> None:
        """A line for the user, once for the whole job."""
        if self.rank == 0:
            log.info(line)

    def _reduce(self, values: Tensor, op: Any) -> Tensor:
        values = values.detach().cpu().clone()
        if self.world > 1:
            dist.all_reduce(values, op=op, group=self._group)
        return values
