"""Several workers as processes of this machine: equal to one, resumable, and ended with care."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.core.config import CadenceConfig, DiffAugmentConfig, LaunchConfig
from limner.core.networks.config import PatchGANConfig, UNetConfig
from limner.core.spec import RunSpec
from limner.core.util.errors import UserError
from limner.distributed.local import launch

MakeSpec = Callable[..., RunSpec]
FirstGradients = Callable[[RunSpec, int], dict[str, torch.Tensor]]

ONE = LaunchConfig(launcher="local", cpus_per_worker=1)
TWO = replace(ONE, workers=2)
EVERYTHING = {
    "discriminator": PatchGANConfig(width=4, layers=2, scales=2, spectral_norm=True),
    "diff_augment": DiffAugmentConfig(cutout=0.25),
    "feature_matching_weight": 10.0,
    "gradient_weight": 10.0,
}
"""Each option of pix2pix's discriminator and losses that needs no weights of others."""


@pytest.mark.parametrize("recipe", [{}, EVERYTHING], ids=["plain", "everything"])
def test_two_workers_with_half_the_batch_have_the_gradients_of_one(
    make_spec: MakeSpec, first_gradients: FirstGradients, recipe: dict[str, Any]
) -> None:
    """To 1e-4 of each tensor's largest gradient: the sums are the same, their order is not."""
    changes: dict[str, Any] = {
        "epochs": 1,
        "generator": UNetConfig(width=4),
        "cadence": CadenceConfig(save_images=4, keep_checkpoints=9),
        **recipe,
    }
    one, two = make_spec("one", ONE, batch_size=4, **changes), make_spec("two", TWO, batch_size=2, **changes)
    assert launch(one)
    assert launch(two)
    expected, found = first_gradients(one, 4), first_gradients(two, 4)
    assert len(expected) == len(found) > 20
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-4 * gradient.abs().max().item(), msg=name)


@pytest.mark.parametrize("recipe", [{}, EVERYTHING], ids=["plain", "everything"])
def test_two_workers_resume_exactly(
    make_spec: MakeSpec, remains: Callable[[Path], Any], recipe: dict[str, Any]
) -> None:
    straight, resumed = (make_spec(name, TWO, **recipe) for name in ("straight", "resumed"))
    assert launch(straight)
    assert launch(replace(resumed, config=replace(resumed.config, epochs=1)))
    assert launch(resumed)
    assert remains(resumed.run) == remains(straight.run)


def test_fewer_workers_go_on_at_the_same_image_and_say_so(
    make_spec: MakeSpec, caplog: pytest.LogCaptureFixture
) -> None:
    spec = make_spec("run", TWO)
    launch(replace(spec, config=replace(spec.config, epochs=1)))
    launch(replace(spec, launch=ONE))
    assert "resuming at image 12" in caplog.text
    assert "workers changed from 2 to 1: the epoch resumes at the same image, none lost or repeated" in caplog.text
    assert (spec.run / "checkpoints" / "0000000022").is_dir()


def test_an_error_in_a_worker_arrives_as_its_one_line(make_spec: MakeSpec) -> None:
    with pytest.raises(UserError, match="missing: not a model bundle"):
        launch(make_spec("run", TWO, init_from="missing"))


def test_a_retry_of_torchrun_goes_on_where_a_second_job_may_not(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("limner.distributed.local._join_group", lambda *_: None)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    numbers = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    for name, value in {"TORCHELASTIC_RUN_ID": "job", "TORCHELASTIC_RESTART_COUNT": "0", **numbers}.items():
        monkeypatch.setenv(name, value)
    spec = make_spec("run", replace(ONE, resume="never"), epochs=1)
    assert launch(spec)
    spec = replace(spec, config=replace(spec.config, epochs=2))
    with pytest.raises(UserError, match="has checkpoints and --resume is never"):
        launch(spec)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert launch(spec)
    assert "resuming at image 11" in caplog.text
