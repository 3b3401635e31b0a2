import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from limner.core.config import LaunchConfig, OptimizerConfig
from limner.core.spec import RunSpec, prepare_run_dir
from limner.core.training.checkpoint import save_checkpoint
from limner.core.util.errors import UserError


def start(spec: RunSpec) -> None:
    """Claim the run and leave a checkpoint in it."""
    prepare_run_dir(spec)
    save_checkpoint(spec.run / "checkpoints", {}, 1, None, keep=1)


def test_what_never_trained_may_be_corrected(make_spec: Callable[..., RunSpec]) -> None:
    prepare_run_dir(make_spec("run"))
    assert not prepare_run_dir(make_spec("run", seed=1))
    assert json.loads((make_spec("run").run / "config.json").read_text())["config"]["seed"] == 1


def test_a_file_in_the_place_of_the_run_is_refused(make_spec: Callable[..., RunSpec]) -> None:
    spec = make_spec("run")
    spec.run.write_text("mine")
    with pytest.raises(UserError, match="exists and is no run directory"):
        prepare_run_dir(spec)


def test_a_new_run_gets_its_config(make_spec: Callable[..., RunSpec]) -> None:
    spec = make_spec("run")
    assert not prepare_run_dir(spec)
    stored = json.loads((spec.run / "config.json").read_text())
    assert stored["task"] == "pix2pix"
    assert stored["config"]["generator"]["width"] == 4
    assert stored["data_hash"] == spec.data_hash


def test_the_same_run_goes_on_from_its_checkpoint(make_spec: Callable[..., RunSpec]) -> None:
    spec = make_spec("run")
    prepare_run_dir(spec)
    assert not prepare_run_dir(spec)
    save_checkpoint(spec.run / "checkpoints", {}, 1, None, keep=1)
    assert prepare_run_dir(spec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "was started with seed 0, not 1"),
        ({"batch_size": 2}, "batch_size 1, not 2"),
        ({"optimizer": OptimizerConfig(lr=1e-3)}, "optimizer.lr 0.0002, not 0.001"),
    ],
)
def test_another_config_is_refused_by_field_and_nothing_is_written(
    make_spec: Callable[..., RunSpec], changes: dict[str, object], message: str
) -> None:
    spec = make_spec("run")
    start(spec)
    before = (spec.run / "config.json").read_bytes()
    with pytest.raises(UserError, match=message):
        prepare_run_dir(make_spec("run", **changes))
    assert (spec.run / "config.json").read_bytes() == before


def test_other_data_are_refused_and_a_moved_dataset_is_not(make_spec: Callable[..., RunSpec]) -> None:
    spec = make_spec("run")
    start(spec)
    prepare_run_dir(replace(spec, data=Path("elsewhere")))
    with pytest.raises(
        UserError, match=r"was started with another dataset than .* \(content .*, not another\): give the same --data"
    ):
        prepare_run_dir(replace(spec, data_hash="another"))


def test_another_teacher_is_refused_and_a_moved_one_is_not(make_spec: Callable[..., RunSpec]) -> None:
    def taught(path: str, content: str) -> RunSpec:
        return replace(make_spec("run", distill_from=path), teacher_hash=content)

    start(taught("teacher", "one"))
    prepare_run_dir(taught("elsewhere", "one"))
    with pytest.raises(
        UserError, match=r"with another teacher than moved \(content one, not other\): give the same --distill-from"
    ):
        prepare_run_dir(taught("moved", "other"))
    with pytest.raises(UserError, match="was started with distill_from 'elsewhere', not ''"):
        prepare_run_dir(make_spec("run"))


def test_launch_and_epochs_may_change(make_spec: Callable[..., RunSpec]) -> None:
    start(make_spec("run"))
    prepare_run_dir(make_spec("run", LaunchConfig(workers=2, launcher="ray", loader="reference"), epochs=7))


def test_epochs_may_not_change_where_the_schedule_depends_on_them(make_spec: Callable[..., RunSpec]) -> None:
    decaying = OptimizerConfig(lr_decay_epochs=1)
    start(make_spec("run", optimizer=decaying))
    with pytest.raises(UserError, match="epochs 2, not 3: the learning rate's decay depends on it"):
        prepare_run_dir(make_spec("run", optimizer=decaying, epochs=3))


def test_resume_never_refuses_a_run_with_checkpoints(make_spec: Callable[..., RunSpec]) -> None:
    spec = make_spec("run", LaunchConfig(resume="never"))
    prepare_run_dir(spec)
    save_checkpoint(spec.run / "checkpoints", {}, 1, None, keep=1)
    with pytest.raises(UserError, match="has checkpoints and --resume is never"):
        prepare_run_dir(spec)


def test_a_directory_of_something_else_is_left_alone(make_spec: Callable[..., RunSpec]) -> None:
    spec = make_spec("run")
    spec.run.mkdir()
    (spec.run / "thesis.txt").write_text("do not lose")
    with pytest.raises(UserError, match="exists and is no run directory"):
        prepare_run_dir(spec)
    assert [path.name for path in spec.run.iterdir()] == ["thesis.txt"]


def test_a_damaged_config_is_one_line(make_spec: Callable[..., RunSpec]) -> None:
    spec = make_spec("run")
    start(spec)
    (spec.run / "config.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        prepare_run_dir(spec)
