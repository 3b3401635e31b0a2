"""One worker from start to end: exact resume, and everything that may go wrong on the way."""

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import limner.core.tasks.pix2pix
from limner.core.bundle import load_generator
from limner.core.config import CadenceConfig, LaunchConfig, OptimizerConfig
from limner.core.networks.config import PatchGANConfig, UNetConfig
from limner.core.spec import RunSpec
from limner.core.tasks.pix2pix import Pix2PixTask
from limner.core.tasks.pix2pix.metrics import VALIDATION_METRICS
from limner.core.tasks.pix2pix.validation import PairValidator
from limner.core.training.checkpoint import MANIFEST, STATE, list_checkpoints
from limner.core.util.errors import LimnerError, UserError
from limner.core.util.files import sha256

Train = Callable[..., bool]
Remains = Callable[[Path], dict[str, Any]]
MakeSpec = Callable[..., RunSpec]

EVERY_IMAGE = CadenceConfig(report_images=1)


@pytest.mark.parametrize("loader", ["dali", "reference"])
@pytest.mark.parametrize("stop_at", [4, 11, 15])
def test_stopped_and_resumed_equals_straight(
    make_spec: MakeSpec, train: Train, remains: Remains, loader: Any, stop_at: int
) -> None:
    """In the first epoch, at its end, in the second: weights, average, moments, random states, metrics, bundle."""
    if loader == "dali":
        pytest.importorskip("nvidia.dali", reason="DALI cannot be imported on this platform")
    launch = LaunchConfig(launcher="local", loader=loader)
    straight, stopped = (make_spec(name, launch, cadence=EVERY_IMAGE) for name in ("straight", "stopped"))
    assert train(straight)
    assert not train(stopped, stop_at=stop_at)
    assert list_checkpoints(stopped.run / "checkpoints")[-1].seen_images >= stop_at
    assert train(stopped)
    assert remains(stopped.run) == remains(straight.run)


def test_batches_across_the_epochs_end_resume_exactly_too(make_spec: MakeSpec, train: Train, remains: Remains) -> None:
    """11 images in batches of 2 x 2 accumulated: epochs end within a step."""
    changes: dict[str, Any] = {"batch_size": 2, "accumulate": 2, "epochs": 3, "cadence": EVERY_IMAGE}
    straight, stopped = (make_spec(name, **changes) for name in ("straight", "stopped"))
    assert train(straight)
    assert not train(stopped, stop_at=12)
    assert train(stopped)
    assert remains(stopped.run) == remains(straight.run)
    assert list_checkpoints(straight.run / "checkpoints")[-1].seen_images == 36


def test_a_run_of_an_earlier_version_resumes_exactly(make_spec: MakeSpec, train: Train, remains: Remains) -> None:
    """Checkpoints of format 1 knew one generator and one discriminator; configs did not name a generator's kind."""
    straight, stopped = (make_spec(name, cadence=EVERY_IMAGE) for name in ("straight", "stopped"))
    assert train(straight)
    assert not train(stopped, stop_at=4)
    newest = list_checkpoints(stopped.run / "checkpoints")[-1].directory
    state = torch.load(newest / STATE, weights_only=True)
    old = {
        **state["networks"],
        "ema": state["averages"]["generator"],
        "optimizers": [state["optimizers"][name] for name in ("generator", "discriminator")],
        **{name: state[name] for name in ("precision", "seen_images", "rng")},
    }
    torch.save(old, newest / STATE)
    manifest = json.loads((newest / MANIFEST).read_text(encoding="utf-8")) | {"format": 1}
    manifest["files"][STATE] = {"bytes": (newest / STATE).stat().st_size, "sha256": sha256(newest / STATE)}
    (newest / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    config = json.loads((stopped.run / "config.json").read_text(encoding="utf-8"))
    del config["config"]["generator"]["kind"]
    (stopped.run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert train(stopped)
    assert remains(stopped.run) == remains(straight.run)


def test_a_crash_resumes_from_the_last_save_and_no_point_is_logged_twice(
    make_spec: MakeSpec, train: Train, remains: Remains, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, crashed = (make_spec(name, cadence=EVERY_IMAGE) for name in ("straight", "crashed"))
    train(straight)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # As a save begins, after an epoch's reports.
        patch.setattr("limner.core.training.state.TrainingState.rng_state", crash)
        with pytest.raises(KeyboardInterrupt):
            train(crashed)
    assert train(crashed)
    assert remains(crashed.run) == remains(straight.run)


def test_a_damaged_newest_checkpoint_costs_an_epoch_not_the_run(
    make_spec: MakeSpec, train: Train, remains: Remains, caplog: pytest.LogCaptureFixture
) -> None:
    spec, straight = (make_spec(name, cadence=EVERY_IMAGE, epochs=3) for name in ("damaged", "straight"))
    train(straight)
    train(replace(spec, config=replace(spec.config, epochs=2)))
    (spec.run / "checkpoints" / "0000000022" / "state.pt").write_bytes(b"rubbish")
    assert train(spec)
    assert "checkpoint 0000000022 is damaged" in caplog.text
    assert remains(spec.run) == remains(straight.run)


def test_a_finished_run_goes_on_when_given_more_epochs(make_spec: MakeSpec, train: Train, remains: Remains) -> None:
    short, long = make_spec("short"), make_spec("long", epochs=3)
    train(long)
    train(short)
    train(replace(short, config=replace(short.config, epochs=3)))
    assert remains(short.run) == remains(long.run)


def test_what_a_run_leaves_is_all_there(make_spec: MakeSpec, train: Train) -> None:
    spec = make_spec("run", optimizer=OptimizerConfig(lr_decay_epochs=1), cadence=EVERY_IMAGE)
    train(spec)
    assert {path.name for path in spec.run.iterdir()} == {
        *("config.json", "checkpoints", "model", "samples", "metrics.jsonl", "tensorboard")
    }
    assert sorted(path.name for path in (spec.run / "samples").iterdir()) == ["epoch_0001.png", "epoch_0002.png"]
    lines = [json.loads(line) for line in (spec.run / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 22
    assert {"loss/l1", "discriminator/real", "discriminator/fake", "lr", "images_per_s", "data_wait_fraction"} <= set(
        lines[0]
    )
    assert {"gradient_norm/generator", "gradient_norm/discriminator", "validation/l1"} <= set(lines[-1])
    assert lines[0]["lr"] == pytest.approx(2e-4)
    assert lines[-1]["lr"] == pytest.approx(2e-4 / 11)
    assert load_generator(spec.run / "model").training is False
    board = EventAccumulator(str(spec.run / "tensorboard"))
    board.Reload()
    assert "config/text_summary" in board.Tags()["tensors"]
    assert "samples" in board.Tags()["images"]


@pytest.mark.parametrize(("keep_best", "pick"), [("", min), ("validation/l1", min), ("sharpness", max)])
def test_the_best_by_the_metric_is_kept_besides_the_newest(
    make_spec: MakeSpec, train: Train, monkeypatch: pytest.MonkeyPatch, keep_best: str, pick: Callable[..., float]
) -> None:
    def measure(self: PairValidator, generators: Any, seen_images: int) -> dict[str, float]:
        value = {11: 0.3, 22: 0.1, 33: 0.4, 44: 0.2, 55: 0.2}[seen_images]
        return {"validation/l1": value, "sharpness": value}

    metrics = {**VALIDATION_METRICS, "sharpness": replace(VALIDATION_METRICS["validation/l1"], better="higher")}
    for owner in (Pix2PixTask, limner.core.tasks.pix2pix):
        monkeypatch.setattr(owner, "metrics" if owner is Pix2PixTask else "VALIDATION_METRICS", metrics)
    monkeypatch.setattr(PairValidator, "evaluate", measure)
    spec = make_spec("run", epochs=5, keep_best=keep_best, cadence=CadenceConfig(keep_checkpoints=1))
    train(spec)
    best = 22 if pick is min else 33
    assert [checkpoint.seen_images for checkpoint in list_checkpoints(spec.run / "checkpoints")] == [best, 55]


def test_a_metric_that_the_task_has_not_is_refused(make_spec: MakeSpec, train: Train) -> None:
    with pytest.raises(UserError, match="keep-best beauty: must be one of validation/l1, validation/lpips-alex"):
        train(make_spec("run", keep_best="beauty"))


def test_bundles_start_other_runs(make_spec: MakeSpec, train: Train) -> None:
    first = make_spec("first")
    train(first)
    tuned = make_spec("tuned", init_from=str(first.run / "model"), optimizer=OptimizerConfig(lr=1e-9), epochs=1)
    train(tuned)
    before, after = (load_generator(spec.run / "model").state_dict() for spec in (first, tuned))
    assert all((before[name] - after[name]).abs().max() < 1e-6 for name in before)
    shutil.rmtree(first.run)
    assert train(replace(tuned, config=replace(tuned.config, epochs=2))), "a resumed run does not need the bundle"
    train(first)
    other = make_spec("other", init_from=str(first.run / "model"), generator=UNetConfig(width=8))
    with pytest.raises(UserError, match="make them equal"):
        train(other)


def test_a_distilled_run_resumes_exactly_and_keeps_nothing_of_its_teacher(
    make_spec: MakeSpec, train: Train, remains: Remains
) -> None:
    teacher = make_spec("teacher", epochs=1, generator=UNetConfig(width=6, styles=3))
    train(teacher)
    changes: dict[str, Any] = {"distill_from": str(teacher.run), "cadence": EVERY_IMAGE}
    straight, stopped = (make_spec(name, **changes) for name in ("straight", "stopped"))
    assert train(straight)
    assert not train(stopped, stop_at=15)
    assert train(stopped)
    assert remains(stopped.run) == remains(straight.run)
    alone = make_spec("alone", cadence=EVERY_IMAGE)
    assert train(alone)
    states = [remains(spec.run)["state"] for spec in (straight, alone)]
    assert states[0].keys() == states[1].keys()
    assert states[0] != states[1]
    with pytest.raises(UserError, match="it translates at image-size 64, the run at 128"):
        train(make_spec("large", distill_from=str(teacher.run), image_size=128))


def test_of_a_discriminator_with_other_layers_nothing_is_copied(
    make_spec: MakeSpec, train: Train, remains: Remains
) -> None:
    """Not even the first layer, which would fit."""
    first = make_spec("first", epochs=1, discriminator=PatchGANConfig(width=4, layers=1))
    train(first)
    alone = first.run / "elsewhere" / "model"
    shutil.copytree(first.run / "model", alone)
    foreign, fresh = make_spec("foreign", init_from=str(first.run / "model")), make_spec("fresh", init_from=str(alone))
    train(foreign)
    train(fresh)
    assert remains(foreign.run) == remains(fresh.run)


def test_a_loss_that_explodes_stops_the_run_and_leaves_the_good_checkpoint(make_spec: MakeSpec, train: Train) -> None:
    spec = make_spec("run", cadence=EVERY_IMAGE)
    train(replace(spec, config=replace(spec.config, epochs=1)))
    state = spec.run / "checkpoints" / "0000000011"
    before = (state / "state.pt").read_bytes()
    wild = make_spec("wild", optimizer=OptimizerConfig(lr=0.99), l1_weight=1e38, cadence=EVERY_IMAGE)
    shutil.copytree(spec.run / "checkpoints", wild.run / "checkpoints")
    (wild.run / "config.json").write_text(json.dumps(wild.to_json()))
    with pytest.raises(LimnerError, match=r"not finite at image \d+: .*lower --optimizer.lr"):
        train(wild)
    assert (wild.run / "checkpoints" / "0000000011" / "state.pt").read_bytes() == before
    assert len(list_checkpoints(wild.run / "checkpoints")) == 1


def test_a_full_disk_is_one_line_and_the_last_checkpoint_is_intact(
    make_spec: MakeSpec, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec("run")
    train(replace(spec, config=replace(spec.config, epochs=1)))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "state.pt")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(LimnerError, match=r"no space left .*run the same command again to resume from image 11"):
            train(spec)
    assert train(spec)


def test_images_that_vanish_or_break_are_named(make_spec: MakeSpec, train: Train, tmp_path: Path) -> None:
    spec = make_spec("run", LaunchConfig(launcher="local", loader="reference"))
    data = tmp_path / "data"
    shutil.copytree(spec.data, data)
    photo = sorted((data / "photo").iterdir())[0]
    content = photo.read_bytes()
    photo.unlink()
    with pytest.raises(UserError, match="missing"):
        train(replace(spec, data=data))
    photo.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=photo.name):
        train(replace(spec, data=data))


def test_a_mirror_brings_a_lost_run_back(make_spec: MakeSpec, train: Train, remains: Remains, tmp_path: Path) -> None:
    launch = LaunchConfig(launcher="local", storage=str(tmp_path / "bucket"))
    straight, lost = make_spec("straight"), make_spec("lost", launch)
    train(straight)
    train(replace(lost, config=replace(lost.config, epochs=1)))
    shutil.rmtree(lost.run)
    assert train(lost)
    assert remains(lost.run) == remains(straight.run)
    assert remains(tmp_path / "bucket" / "lost") == remains(straight.run)
