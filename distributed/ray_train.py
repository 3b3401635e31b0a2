"""Workers as Ray Train starts them, on this machine or on a cluster; lost ones are started again."""

import logging
import os
import signal
import socket
import tempfile
import threading
from typing import Any

import ray
import ray.exceptions
import ray.train
import ray.train.torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from limner.core.config import LaunchConfig, require
from limner.core.spec import RunSpec
from limner.core.training.loop import Progress
from limner.core.util.errors import LimnerError, UserError
from limner.distributed.context import WorkerContext, worker_threads
from limner.distributed.display import RunDisplay
from limner.distributed.storage import prepare_run
from limner.distributed.worker import run_worker

POLL_SECONDS = 0.3
"""Time between two polls of the driver, and two pushes of a worker."""
CONNECT_SECONDS = 10.0
"""In which a cluster must accept a connection."""


class ProgressActor:
    """An actor between driver and workers: progress and log lines go one way, the request to stop the other."""

    def __init__(self) -> None:
        self._stop = False
        self._progress: Progress | None = None
        self._lines: list[str] = []
        self._outcome: bool | LimnerError | None = None

    def request_stop(self) -> None:
        """Ask the workers to save and end."""
        self._stop = True

    def push(self, progress: Progress | None, lines: list[str], outcome: bool | LimnerError | None) -> bool:
        """Take a worker's updates; returns whether to stop."""
        self._progress = progress or self._progress
        self._lines += lines
        if outcome is not None and not isinstance(self._outcome, LimnerError):
            self._outcome = outcome
        return self._stop

    def poll(self) -> tuple[Progress | None, list[str], bool | LimnerError | None]:
        """Return progress, the log lines since the last poll, and the outcome if there is one."""
        lines, self._lines = self._lines, []
        return self._progress, lines, self._outcome


class ProgressHandler(logging.Handler):
    """Pushes a worker's updates to the actor from a thread, so that training never waits for the network."""

    def __init__(self, actor: Any, stop: threading.Event) -> None:
        super().__init__()
        self._actor = actor
        self._stop = stop
        self._progress: Progress | None = None
        self._lines: list[str] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def report_progress(self, progress: Progress) -> None:
        """Queue progress for the next push."""
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a log line for the next push."""
        self._lines.append(self.format(record))

    def finish(self, outcome: bool | LimnerError | None) -> None:
        """Push the rest and the outcome, and end."""
        self._closing.set()
        self._thread.join()
        self._push(outcome)

    def _run(self) -> None:
        while not self._closing.wait(POLL_SECONDS):
            self._push(None)

    def _push(self, outcome: bool | LimnerError | None) -> None:
        lines, self._lines = self._lines, []
        if ray.get(self._actor.push.remote(self._progress, lines, outcome)):
            self._stop.set()


def launch(spec: RunSpec) -> bool:
    """Train with `--launcher ray`; False if a stop was requested and the state is saved.

    fit() runs in its own thread: in the main thread it would handle SIGTERM and Ctrl-C by aborting without a save. From
    here they reach the workers through the actor.
    """
    _check_address(os.environ.get("RAY_ADDRESS", ""))
    prepare_run(spec)
    owned = not ray.is_initialized()
    if owned:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    try:
        scaling = _scaling(spec.launch)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(num_cpus=0, scheduling_strategy=here)(ProgressActor).remote()
        # Ray's own storage stays empty: checkpoints are ours (core/checkpoint.py), the same under every launcher.
        with tempfile.TemporaryDirectory(prefix="limner-ray-") as scratch:
            trainer = TorchTrainer(
                _train,
                train_loop_config={"spec": spec, "actor": actor},
                # NCCL refuses two ranks on one GPU; None lets Ray choose.
                torch_config=TorchConfig(backend="gloo" if spec.launch.gpus_per_worker < 1.0 else None),
                scaling_config=scaling,
                run_config=RunConfig(
                    name="limner",
                    storage_path=scratch,
                    failure_config=FailureConfig(max_failures=spec.launch.retries),
                ),
            )
            return _follow(trainer, actor)
    finally:
        if owned:
            ray.shutdown()


def _check_address(address: str) -> None:
    """UserError for an address to submit jobs to, or a HOST:PORT where nobody answers: Ray would try for minutes."""
    require(
        not address.startswith(("http://", "https://")),
        f"RAY_ADDRESS {address}: is where jobs are submitted, not where they run: unset it, start this with `ray job "
        "submit`, or add --launcher local",
    )
    host, _, port = address.rpartition(":")
    if not host or "://" in address:
        return
    require(port.isdecimal(), f"RAY_ADDRESS {address}: the port is {port!r}: give HOST:PORT, such as 127.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:  # a port over 65535
        raise UserError(
            f"RAY_ADDRESS {address}: no cluster answers there ({error}): start one with `ray start --head`, unset it, "
            "or add --launcher local"
        ) from error


def _follow(trainer: TorchTrainer, actor: Any) -> bool:
    failures: list[BaseException] = []

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            failures.append(error)

    def request_stop(number: int, _frame: Any) -> None:
        actor.request_stop.remote()

    fitting = threading.Thread(target=fit, daemon=True)
    previous = {number: signal.signal(number, request_stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with RunDisplay() as display:
            fitting.start()
            running, outcome, shown = True, None, None
            while running and not isinstance(outcome, LimnerError):
                fitting.join(POLL_SECONDS)
                running = fitting.is_alive()  # read before the poll, so that the last updates are not missed
                progress, lines, outcome = ray.get(actor.poll.remote())
                for line in lines:
                    logging.getLogger("limner").info(line)
                if progress is not None and progress != shown:
                    display.show(progress)
                    shown = progress
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if isinstance(outcome, LimnerError):
        raise outcome
    if failures:
        raise LimnerError(f"training failed: {failures[0]}\nrun the same command again to resume") from failures[0]
    return bool(outcome)


def _train(config: dict[str, Any]) -> None:
    """The body that Ray Train runs in every worker process."""
    spec: RunSpec = config["spec"]
    train = ray.train.get_context()
    stop = threading.Event()
    handler = ProgressHandler(config["actor"], stop)
    logger = logging.getLogger("limner")
    logger.setLevel(logging.INFO if train.get_world_rank() == 0 else logging.WARNING)  # the first speaks for all
    logger.addHandler(handler)
    outcome: bool | LimnerError | None = None
    try:
        context = WorkerContext(
            rank=train.get_world_rank(),
            world_size=train.get_world_size(),
            device=ray.train.torch.get_device(),
            threads=worker_threads(spec.launch, train.get_local_world_size()),
            stop=stop,
            report_progress=handler.report_progress,
        )
        finished = run_worker(spec, context)
        outcome = finished if context.rank == 0 else None
    except LimnerError as error:  # no retry would help: the driver ends the job at its next poll
        outcome = error
    finally:
        logger.removeHandler(handler)
        handler.finish(outcome)


def _scaling(launch: LaunchConfig) -> ScalingConfig:
    """Resources of the workers; UserError if the cluster has too few, since Ray would wait for ever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
    share = _floored(launch.gpus_per_worker) if gpus else 0.0
    candidates = [float(launch.cpus_per_worker)] if launch.cpus_per_worker else _even_shares(nodes, launch.workers)
    places = {candidate: _places(nodes, candidate, share) for candidate in candidates}
    most = max(places.values(), default=0)
    require(
        most >= launch.workers,
        f"{launch.workers} workers with {min(candidates, default=1.0):g} CPU(s) and {share:g} GPU(s) each: the cluster "
        f"has {cpus:g} and {gpus:g}, which is {most} places (none is spread over two machines, or shares of two GPUs); "
        "use fewer --workers, or a smaller --cpus-per-worker or --gpus-per-worker",
    )
    per_worker = max(candidate for candidate in candidates if places[candidate] >= launch.workers)
    resources = {"CPU": per_worker} | ({"GPU": share} if share else {})
    return ScalingConfig(num_workers=launch.workers, use_gpu=share > 0.0, resources_per_worker=resources)


def _even_shares(nodes: list[dict[str, float]], workers: int) -> list[float]:
    """CPUs of a worker if a node's are shared evenly: whole ones, or a part of one."""
    shares = {node.get("CPU", 0.0) / count for node in nodes for count in range(1, workers + 1)}
    return [float(int(share)) if share >= 1.0 else _floored(share) for share in shares if share > 0.0]


def _places(nodes: list[dict[str, float]], cpus: float, gpus: float) -> int:
    """How many workers the nodes have room for; none is spread over two nodes, and no part of a GPU over two GPUs."""
    total = 0
    for node in nodes:
        room = int(node.get("CPU", 0.0) / cpus + 1e-6)
        if gpus:
            there = int(node.get("GPU", 0.0))
            room = min(room, there * int(1.0 / gpus + 1e-6) if gpus < 1.0 else int(there / gpus))
        total += room
    return total


def _floored(share: float) -> float:
    """Ray counts in ten-thousandths, and rounds up where three workers ask for 0.66667 of two CPUs."""
    return int(share * 1e4 + 1e-6) / 1e4
