"""Ray Train starts the same workers: equal results, recovery after kill -9, one line for what is wrong."""

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limner.core.config import CadenceConfig, LaunchConfig
from limner.core.networks.config import DCGANDiscriminatorConfig, DCGANGeneratorConfig
from limner.core.spec import RunSpec
from limner.core.tasks.dcgan.config import DCGANConfig
from limner.core.util.errors import UserError
from limner.distributed.local import launch as launch_local

ray = pytest.importorskip("ray", reason="Ray cannot be imported on this platform")
pytest.importorskip("ray.train", reason="Ray Train cannot be imported on this platform")

from limner.distributed.ray_train import _check_address, _scaling, launch  # noqa: E402

MakeSpec = Callable[..., RunSpec]
Remains = Callable[[Path], Any]

RAY = LaunchConfig(launcher="ray", cpus_per_worker=1)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


def worker_processes() -> list[int]:
    """Process numbers of Ray Train's workers on this machine, from the titles that Ray gives them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes()
        except OSError:  # ended in the meantime
            continue
        if title.startswith(b"ray::") and b"TrainWorker" in title:
            found.append(int(path.parent.name))
    return sorted(found)


def when_seen(run: Path, images: int, act: Callable[[], None]) -> threading.Thread:
    """Call `act` once the run has reported `images` images."""

    def watch() -> None:
        metrics = run / "metrics.jsonl"
        while not metrics.exists() or len(metrics.read_text().splitlines()) < images:
            threading.Event().wait(0.01)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_stopped_and_resumed_ray_run_equals_a_straight_local_one(make_spec: MakeSpec, remains: Remains) -> None:
    straight, stopped = make_spec("straight"), make_spec("stopped", RAY)
    assert launch_local(straight)
    assert launch(replace(stopped, config=replace(stopped.config, epochs=1)))
    assert launch(stopped)
    assert remains(stopped.run) == remains(straight.run)


def as_portraits(spec: RunSpec) -> RunSpec:
    """The run with portraits from noise in place of sketches."""
    config = DCGANConfig(
        image_size=64,
        epochs=spec.config.epochs,
        batch_size=spec.config.batch_size,
        precision="fp32",
        generator=DCGANGeneratorConfig(latent=8, width=4),
        discriminator=DCGANDiscriminatorConfig(width=4),
        r1_weight=1.0,
        penalty_interval=2,
        cadence=spec.config.cadence,
    )
    return replace(spec, task="dcgan", config=config)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers through /proc")
@pytest.mark.parametrize("task", ["pix2pix", "dcgan"])
def test_kill_9_of_a_worker_in_mid_epoch_changes_nothing(
    make_spec: MakeSpec, remains: Remains, caplog: pytest.LogCaptureFixture, task: str
) -> None:
    changes: dict[str, Any] = {"epochs": 30, "cadence": CadenceConfig(report_images=1, sample_epochs=30)}
    launch_config = replace(RAY, workers=2)
    undisturbed = make_spec("undisturbed", replace(launch_config, launcher="local"), **changes)
    disturbed = make_spec("disturbed", launch_config, **changes)
    if task == "dcgan":
        undisturbed, disturbed = as_portraits(undisturbed), as_portraits(disturbed)
    killed: list[int] = []

    def kill_one() -> None:
        killed.append(worker_processes()[-1])
        os.kill(killed[0], signal.SIGKILL)

    killer = when_seen(disturbed.run, 60, kill_one)
    assert launch(disturbed)
    killer.join()
    assert killed
    assert "resuming at image" in caplog.text
    assert launch_local(undisturbed)
    assert remains(disturbed.run) == remains(undisturbed.run)


def test_sigterm_saves_and_the_same_command_goes_on(make_spec: MakeSpec, remains: Remains) -> None:
    changes: dict[str, Any] = {"epochs": 30, "cadence": CadenceConfig(report_images=1, sample_epochs=30)}
    straight, stopped = make_spec("straight", **changes), make_spec("stopped", RAY, **changes)
    stopper = when_seen(stopped.run, 15, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert not launch(stopped)
    stopper.join()
    assert launch(stopped)
    assert launch_local(straight)
    assert remains(stopped.run) == remains(straight.run)


def test_wrong_input_found_by_a_worker_is_one_line_and_not_retried(make_spec: MakeSpec) -> None:
    with pytest.raises(UserError, match="missing: not a model bundle"):
        launch(make_spec("run", RAY, init_from="missing"))


def test_more_than_the_cluster_has_is_refused_instead_of_waiting_for_ever(make_spec: MakeSpec) -> None:
    with pytest.raises(UserError, match=r"3 workers with 1 CPU\(s\) and 0 GPU\(s\) each: the cluster has 2 and 0"):
        launch(make_spec("run", replace(RAY, workers=3)))


def cluster_of(monkeypatch: pytest.MonkeyPatch, *nodes: tuple[int, int]) -> None:
    """Nodes of so many CPUs and GPUs."""
    found = [{"Alive": True, "Resources": {"CPU": float(cpus), "GPU": float(gpus)}} for cpus, gpus in nodes]
    monkeypatch.setattr(ray, "nodes", lambda: found)


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "message"),
    [
        ([(8, 2)], 3, 0.6, r"3 workers with .* and 0.6 GPU\(s\) each: .* and 2, which is 2 places"),
        ([(8, 1), (8, 1)], 1, 2.0, r"1 workers with .* and 2 GPU\(s\) each: .* and 2, which is 0 places"),
        ([(8, 0), (1, 4)], 5, 1.0, r"which is 4 places .*; use fewer --workers, or a smaller"),
        ([(0, 0)], 1, 1.0, "the cluster has 0 and 0, which is 0 places"),
    ],
)
def test_workers_that_no_machine_or_gpu_holds_are_refused(
    monkeypatch: pytest.MonkeyPatch, nodes: list[tuple[int, int]], workers: int, gpus: float, message: str
) -> None:
    cluster_of(monkeypatch, *nodes)
    with pytest.raises(UserError, match=message):
        _scaling(LaunchConfig(workers=workers, gpus_per_worker=gpus))


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "resources"),
    [
        ([(8, 2)], 2, 1.0, {"CPU": 4.0, "GPU": 1.0}),
        ([(8, 2)], 3, 0.5, {"CPU": 2.0, "GPU": 0.5}),
        ([(8, 2)], 6, 0.33333333, {"CPU": 1.0, "GPU": 0.3333}),
        ([(8, 2)], 2, 0.0, {"CPU": 4.0}),
        ([(16, 4), (4, 4)], 3, 2.0, {"CPU": 4.0, "GPU": 2.0}),
        ([(8, 0), (1, 2)], 2, 1.0, {"CPU": 0.5, "GPU": 1.0}),
        ([(1, 0), (1, 0)], 3, 1.0, {"CPU": 0.5}),
        ([(5, 0), (3, 0)], 2, 1.0, {"CPU": 3.0}),
    ],
)
def test_workers_get_the_largest_even_share(
    monkeypatch: pytest.MonkeyPatch,
    nodes: list[tuple[int, int]],
    workers: int,
    gpus: float,
    resources: dict[str, float],
) -> None:
    cluster_of(monkeypatch, *nodes)
    assert _scaling(LaunchConfig(workers=workers, gpus_per_worker=gpus)).resources_per_worker == resources


def test_ray_finds_room_for_the_shares_that_it_is_asked_for() -> None:
    """Three times two thirds, rounded up, would be more than two CPUs."""
    share = _scaling(LaunchConfig(workers=3)).resources_per_worker
    group = ray.util.placement_group([share] * 3)
    try:
        assert group.wait(20)
    finally:
        ray.util.remove_placement_group(group)


def test_an_address_for_submitting_jobs_is_refused_before_anything_is_written(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    spec = make_spec("run", RAY)
    with pytest.raises(UserError, match=r"RAY_ADDRESS http://127.0.0.1:8265: .*: unset it, start this with"):
        launch(spec)
    assert not spec.run.exists()


def test_an_address_where_nobody_answers_is_refused_at_once(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _check_address(f"127.0.0.1:{port}")  # somebody listens
    spec = make_spec("run", RAY)
    for address in (f"127.0.0.1:{port}", f"[::1]:{port}", "127.0.0.1:99999"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UserError, match=rf"RAY_ADDRESS {re.escape(address)}: no cluster answers there .*: start"):
            launch(spec)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:head")
    with pytest.raises(UserError, match=r"RAY_ADDRESS 127.0.0.1:head: the port is 'head': give HOST:PORT, such as"):
        launch(spec)
    assert not spec.run.exists()
