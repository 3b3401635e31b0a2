"""Workers as plain processes of this machine, or as those that torchrun has started."""

import os
import signal
import socket
import threading
from dataclasses import replace
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from limner.core.config import LaunchConfig
from limner.core.spec import RunSpec
from limner.core.util.errors import LimnerError
from limner.distributed.context import WorkerContext, worker_threads
from limner.distributed.display import RunDisplay
from limner.distributed.storage import prepare_run
from limner.distributed.worker import run_worker


def launch(spec: RunSpec) -> bool:
    """Train with `--launcher local`; False if a stop was requested and the state is saved.

    One worker runs in this process; several are spawned; under torchrun this process is one of its workers.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return _run_under_torchrun(spec)
    prepare_run(spec)
    if spec.launch.workers == 1:
        return _run(spec, 0, 1)
    return _spawn(spec)


def _run_under_torchrun(spec: RunSpec) -> bool:
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":  # this same job saved what is there
        spec = replace(spec, launch=replace(spec.launch, resume="auto"))
    if rank == 0:
        prepare_run(spec)
    local_world_size = int(os.environ["LOCAL_WORLD_SIZE"])
    _join_group("env://", rank, world_size, local_world_size, spec.launch)
    try:
        return _run(spec, rank, world_size, int(os.environ["LOCAL_RANK"]), local_world_size)
    finally:
        dist.destroy_process_group()


def _run(spec: RunSpec, rank: int, world_size: int, local_rank: int = 0, local_world_size: int = 1) -> bool:
    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    device = _device(spec.launch, local_rank)
    try:
        if rank > 0:
            return run_worker(spec, _context(spec, rank, world_size, device, local_world_size, stop, lambda _: None))
        with RunDisplay() as display:
            return run_worker(spec, _context(spec, rank, world_size, device, local_world_size, stop, display.show))
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _context(
    spec: RunSpec,
    rank: int,
    world_size: int,
    device: torch.device,
    local_world_size: int,
    stop: threading.Event,
    report_progress: Any,
) -> WorkerContext:
    return WorkerContext(rank, world_size, device, worker_threads(spec.launch, local_world_size), stop, report_progress)


def _device(launch: LaunchConfig, local_rank: int) -> torch.device:
    if launch.gpus_per_worker == 0.0 or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def _join_group(address: str, rank: int, world_size: int, local_world_size: int, launch: LaunchConfig) -> None:
    on_gpu = launch.gpus_per_worker > 0.0 and torch.cuda.is_available()
    # NCCL refuses two ranks on one GPU; gloo carries CUDA tensors too, more slowly.
    nccl = on_gpu and dist.is_nccl_available() and torch.cuda.device_count() >= local_world_size
    dist.init_process_group("nccl" if nccl else "gloo", init_method=address, rank=rank, world_size=world_size)


def _spawn(spec: RunSpec) -> bool:
    """Start the workers, forward signals to them, and return their outcome or raise their error."""
    context = mp.get_context("spawn")
    outcomes: SimpleQueue[tuple[str, Any]] = context.SimpleQueue()
    address = f"tcp://127.0.0.1:{_free_port()}"
    workers = start_processes(  # type: ignore[no-untyped-call]
        _spawned, args=(spec, address, outcomes), nprocs=spec.launch.workers, join=False, start_method="spawn"
    )
    assert workers is not None

    def forward_signal(number: int, _frame: Any) -> None:
        if os.name == "nt":  # the console has signalled the workers already, and a signal from here would kill them
            return
        for process in workers.processes:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGTERM)

    previous = {number: signal.signal(number, forward_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not workers.join():
            pass
    except (ProcessExitedException, ProcessRaisedException) as error:
        # A worker's own error comes before the broken connection that another one saw because of it.
        if outcomes.empty() and isinstance(error, ProcessRaisedException):
            raise
        if outcomes.empty():
            raise LimnerError("a worker process died: run the same command again to resume") from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    kind, value = outcomes.get()
    if kind == "error":
        raise value
    return bool(value)


def _spawned(rank: int, spec: RunSpec, address: str, outcomes: "SimpleQueue[tuple[str, Any]]") -> None:
    world_size = spec.launch.workers
    _join_group(address, rank, world_size, world_size, spec.launch)
    try:
        finished = _run(spec, rank, world_size, rank, world_size)
    except LimnerError as error:
        outcomes.put(("error", error))
        raise SystemExit(1) from None
    if rank == 0:
        outcomes.put(("finished", finished))
    dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
