"""One worker among the others: its rank, its device, and the control messages between ranks."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from limner.core.config import LaunchConfig
from limner.core.training.loop import Progress
from limner.core.util.machine import usable_cores

log = logging.getLogger("limner")


def worker_threads(launch: LaunchConfig, workers_here: int) -> int:
    """CPU threads of each of the workers on this machine."""
    return launch.cpus_per_worker or max(1, usable_cores() // workers_here)


class WorkerContext:
    """The Context of core/training/loop.py, over torch.distributed if there are several workers.

    Control messages go over gloo and the CPU, also next to NCCL: they are few, small, and must not wait for a GPU.
    """

    def __init__(
        self,
        rank: int,
        world_size: int,
        device: torch.device,
        threads: int,
        stop: threading.Event,
        report_progress: Callable[[Progress], None],
    ) -> None:
        """stop: set when this process is asked to stop; report_progress: displays progress (rank 0)."""
        self.rank = rank
        self.world_size = world_size
        self.device = device
        self.threads = threads
        self.report_progress = report_progress
        self._stop = stop
        self._group = dist.new_group(backend="gloo") if world_size > 1 else None

    def stop_requested(self) -> bool:
        """Whether any rank was asked to stop; the same answer on every rank at the same step."""
        if self.world_size == 1:
            return self._stop.is_set()
        flag = torch.tensor(int(self._stop.is_set()))
        dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self._group)
        return bool(flag)

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a vector over the ranks, on the CPU."""
        return self._reduce(values, dist.ReduceOp.SUM) / self.world_size

    def minimum(self, value: Tensor) -> Tensor:
        """Smallest of a scalar over the ranks, on the CPU."""
        return self._reduce(value, dist.ReduceOp.MIN)

    def gather(self, value: Any) -> list[Any]:
        """`value` of every rank, by rank; on every rank."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self._group)
        return values

    def broadcast(self, value: Any) -> Any:
        """Rank 0's `value`, on every rank."""
        if self.world_size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self._group)
        return values[0]

    def log_rank0(self, line: str) -> None:
        """Log a line for the user, once for the whole job."""
        if self.rank == 0:
            log.info(line)

    def _reduce(self, values: Tensor, op: Any) -> Tensor:
        values = values.detach().cpu().clone()
        if self.world_size > 1:
            dist.all_reduce(values, op=op, group=self._group)
        return values
