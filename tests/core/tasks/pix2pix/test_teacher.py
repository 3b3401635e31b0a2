"""A student learns from a frozen teacher, which must fit its data."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.core.batch import Batch
from limner.core.bundle import BundleConfig, load_generator, save_bundle
from limner.core.networks.config import DCGANGeneratorConfig, PatchGANConfig, UNetConfig
from limner.core.networks.init import init_weights
from limner.core.networks.patchgan import build_patchgan
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.tasks.pix2pix.objective import Pix2PixObjective
from limner.core.tasks.pix2pix.teacher import Teacher, check_teacher
from limner.core.training.step import TrainingStep
from limner.core.util.errors import UserError

CPU = torch.device("cpu")
STYLES = ("soft", "hard", "rough")
GENERATOR = UNetConfig(width=4, depth=4, styles=3)


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    """A teacher whose three styles differ."""
    config = BundleConfig("pix2pix", 64, "crop", STYLES, GENERATOR)
    generator = config.build()
    init_weights(generator, 7, std=0.2)
    save_bundle(tmp_path / "teacher", generator, config)
    return str(tmp_path / "teacher")


def objective(teacher: Teacher | None, **changes: Any) -> Pix2PixObjective:
    config = Pix2PixConfig(image_size=64, generator=GENERATOR, **changes)
    return Pix2PixObjective(config, CPU, teacher)


def test_styles_are_matched_by_name(bundle: str, make_batch: Callable[..., Batch]) -> None:
    photo, generator = make_batch(3).photo, load_generator(bundle)
    teacher = Teacher(bundle, ("rough", "soft"), 64, CPU)
    found = teacher(photo, torch.tensor([0, 1, 0]))
    assert torch.equal(found, generator(photo, torch.tensor([2, 0, 2])))
    assert not torch.equal(found, generator(photo, torch.tensor([0, 1, 0])))


def test_a_teacher_without_styles_fits_any_data(tmp_path: Path, make_batch: Callable[..., Batch]) -> None:
    config = BundleConfig("pix2pix", 64, "crop", (), UNetConfig(width=4, depth=4, styles=0))
    save_bundle(tmp_path / "plain", config.build(), config)
    batch = make_batch(3)
    found = Teacher(str(tmp_path / "plain"), STYLES, 64, CPU)(batch.photo, batch.style)
    assert torch.equal(found, load_generator(tmp_path / "plain")(batch.photo))


def test_a_student_that_equals_its_teacher_has_nothing_to_learn_from_it(
    bundle: str, make_batch: Callable[..., Batch]
) -> None:
    batch, student = make_batch(3), load_generator(bundle)
    networks = {"generator": student, "discriminator": build_patchgan(PatchGANConfig(width=4), 6, 3, seed=0)}
    alike = objective(Teacher(bundle, STYLES, 64, CPU), gradient_weight=1.0)
    loss, stats = alike.generator_loss(networks, batch, alike.generate(networks, batch))
    assert float(stats["loss/distill"]) == 0.0
    expected, _ = objective(None, gradient_weight=1.0).generator_loss(
        networks, batch, student(batch.photo, batch.style)
    )
    torch.testing.assert_close(loss, expected)


def test_the_teachers_sketch_is_a_second_target_of_the_same_distances(
    bundle: str, make_batch: Callable[..., Batch]
) -> None:
    batch, teacher = make_batch(3), Teacher(bundle, STYLES, 64, CPU)
    networks = {"discriminator": build_patchgan(PatchGANConfig(width=4), 6, 3, seed=0)}
    fake = torch.zeros(3, 3, 64, 64)
    weights = {"l1_weight": 5.0, "gradient_weight": 2.0}
    loss, stats = objective(teacher, distill_weight=3.0, **weights).generator_loss(networks, batch, fake)
    plain, _ = objective(None, **weights).generator_loss(networks, batch, fake)
    taught = replace(batch, sketch=teacher(batch.photo, batch.style))
    _, other = objective(None, **weights).generator_loss(networks, taught, fake)
    distance = 5.0 * other["loss/l1"] + 2.0 * other["loss/gradient"]
    torch.testing.assert_close(stats["loss/distill"], distance)
    torch.testing.assert_close(loss, plain + 3.0 * distance)


def test_a_step_trains_the_student_and_leaves_the_teacher(
    bundle: str, make_batch: Callable[..., Batch], make_step: Callable[..., TrainingStep]
) -> None:
    teacher = Teacher(bundle, STYLES, 64, CPU)
    config = replace(GENERATOR, width=2)
    student = BundleConfig("pix2pix", 64, "crop", STYLES, config).build().train()
    discriminator = build_patchgan(PatchGANConfig(width=4), 6, 3, seed=0)
    step = make_step(objective(teacher), student, discriminator)
    before = [parameter.detach().clone() for parameter in student.parameters()]
    step([make_batch(3)], 3, 3, lr=1e-3)
    assert any(not torch.equal(old, new) for old, new in zip(before, student.parameters(), strict=True))
    generator = load_generator(bundle)
    for name, weight in teacher._generator.state_dict().items():
        assert torch.equal(weight, generator.state_dict()[name])
    assert all(parameter.grad is None for parameter in teacher._generator.parameters())
    assert step.objective.state_dict() == {}


@pytest.mark.parametrize(
    ("styles", "size", "message"),
    [
        (("soft", "cuhk"), 64, "it has the styles soft, hard, rough, not the data's cuhk: they must match by name"),
        ((), 64, r"it has the styles soft, hard, rough, not the data's \(which has no names of styles\)"),
        (STYLES, 128, "it translates at image-size 64, the run at 128"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(bundle: str, styles: tuple[str, ...], size: int, message: str) -> None:
    with pytest.raises(UserError, match=f"distill-from .*teacher: {message}"):
        check_teacher(bundle, styles, size)


def test_portraits_from_noise_teach_no_sketches(tmp_path: Path) -> None:
    config = BundleConfig("dcgan", 64, "crop", (), DCGANGeneratorConfig(latent=4, width=2))
    save_bundle(tmp_path / "noise", config.build(), config)
    with pytest.raises(UserError, match="it makes 3 channels of latents, needed is RGB of RGB photos"):
        check_teacher(str(tmp_path / "noise"), (), 64)


def test_a_teacher_and_no_distance_to_it_is_refused() -> None:
    with pytest.raises(UserError, match="gradient-weight are all 0, so that there is nothing to learn"):
        Pix2PixConfig(distill_from="teacher", l1_weight=0.0)
