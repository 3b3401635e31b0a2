"""Generators of junyanz's repository against networks written here from its description: nested blocks, names of
weights, and the way they are run at test time."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limner.core.junyanz import image_size_of, load_junyanz
from limner.core.networks.config import CheckpointNorm, ResNetConfig, UNetConfig
from limner.core.networks.generators import STATISTICS
from limner.core.util.errors import UserError

WIDTH = 3


class Block(nn.Module):
    """One level with all levels within it; `model` is the sequence whose numbers the names of the weights have."""

    def __init__(self, level: int, depth: int, norm: CheckpointNorm, channels: int = 3) -> None:
        super().__init__()
        self.outermost = level == 0
        innermost = level == depth - 1
        inner = WIDTH * min(2**level, 8)
        outer = channels if self.outermost else WIDTH * min(2 ** (level - 1), 8)
        biased = norm == "instance"
        down: list[nn.Module] = [nn.Conv2d(outer, inner, 4, 2, 1, bias=biased)]
        up: list[nn.Module] = [nn.ReLU(inplace=True)]
        up.append(nn.ConvTranspose2d(inner if innermost else 2 * inner, outer, 4, 2, 1, bias=biased or self.outermost))
        if self.outermost:
            up.append(nn.Tanh())
        else:
            down.insert(0, nn.LeakyReLU(0.2, inplace=True))  # in place: the skip below is what it leaves
            up.append(norm_of(norm, outer))
        if not self.outermost and not innermost:
            down.append(norm_of(norm, inner))
        within = [] if innermost else [Block(level + 1, depth, norm)]
        self.model = nn.Sequential(*down, *within, *up)

    def forward(self, x: Tensor) -> Tensor:
        inside: Tensor = self.model(x)
        return inside if self.outermost else torch.cat([x, inside], 1)


def norm_of(norm: CheckpointNorm, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.InstanceNorm2d(channels)


class Reference(nn.Module):
    """A generator with weights and statistics that are all unlike those of a new one; in train mode."""

    def __init__(self, depth: int, norm: CheckpointNorm, channels: int = 3) -> None:
        super().__init__()
        self.model = Block(0, depth, norm, channels)
        generator = torch.Generator().manual_seed(depth)
        for name, value in self.state_dict().items():
            if value.is_floating_point():
                value.normal_(1.0 if name.endswith("running_var") else 0.0, 0.3, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        image: Tensor = self.model(x)
        return image


Save = Callable[[object], Path]
State = dict[str, Any]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(content: object) -> Path:
        torch.save(content, tmp_path / "latest_net_G.pth")
        return tmp_path / "latest_net_G.pth"

    return write


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("depth", [5, 6, 7, 8])
def test_it_gives_what_the_reference_gives_at_batch_1(save: Save, depth: int, norm: CheckpointNorm) -> None:
    reference = Reference(depth, norm)
    converted = load_junyanz(save(reference.state_dict()), norm)
    photos = torch.rand(2, 3, 2**depth, 2**depth) * 2.0 - 1.0
    with torch.no_grad():
        expected = torch.cat([reference(photo[None]) for photo in photos])
    assert expected.std() > 0.1
    torch.testing.assert_close(converted(photos), expected, atol=1e-5, rtol=0.0)
    assert converted.config == UNetConfig(width=WIDTH, depth=depth, styles=0)
    assert not converted.training
    assert not any(parameter.requires_grad for parameter in converted.parameters())


def test_the_keys_are_those_of_their_files() -> None:
    """The nested network of this test must not share a mistake with the converter: names as their users report them."""
    state = Reference(8, "batch").state_dict()
    inner = "model.model.1" + ".model.3" * 6 + ".model"
    assert len(state) == 8 * 2 + 1 + 13 * 5
    assert state["model.model.0.weight"].shape == (WIDTH, 3, 4, 4)
    assert state["model.model.3.bias"].shape == (3,)
    assert state["model.model.1.model.5.weight"].shape == (4 * WIDTH, WIDTH, 4, 4)
    assert {f"{inner}.1.weight", f"{inner}.3.weight", f"{inner}.4.running_mean"} < state.keys()
    assert f"{inner}.2.weight" not in state


def wrapped(state: State) -> State:
    return {f"module.{key}": value for key, value in state.items()}


def without_batch_counts(state: State) -> State:
    return {key: value for key, value in state.items() if "num_batches" not in key}


def in_double_precision(state: State) -> State:
    return {key: value.double() for key, value in state.items()}


@pytest.mark.parametrize("change", [wrapped, without_batch_counts, in_double_precision])
def test_other_ways_of_saving_the_same_weights_are_read(save: Save, change: Callable[[State], State]) -> None:
    state = Reference(5, "batch").state_dict()
    plain = load_junyanz(save(state), "batch").state_dict()
    other = load_junyanz(save(change(state)), "batch").state_dict()
    for name, value in plain.items():
        torch.testing.assert_close(other[name], value, atol=0.0, rtol=0.0)


def test_running_statistics_in_old_instance_norm_files_go_unused(save: Save) -> None:
    state = Reference(5, "instance").state_dict()
    plain = load_junyanz(save(state), "instance").state_dict()
    old = {key: torch.ones(1) for key in Reference(5, "batch").state_dict() if key.endswith(STATISTICS)}
    assert len(old) == 7 * 3
    for name, value in load_junyanz(save(state | old), "instance").state_dict().items():
        assert torch.equal(value, plain[name])


def test_files_in_the_format_before_torch_1_6_are_read(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    torch.save(Reference(5, "batch").state_dict(), path, _use_new_zipfile_serialization=False)
    assert load_junyanz(path, "batch").config == UNetConfig(width=WIDTH, depth=5, styles=0)


@pytest.mark.parametrize(
    ("norm", "changes", "message"),
    [
        (
            "batch",
            {"model.model.1.model.2.weight": None},
            "not a U-Net of width 3 and 5 levels from 3 to 3 channels with --norm batch: keys missing "
            "model.model.1.model.2.weight$",
        ),
        ("batch", {"extra": torch.ones(1)}, "--norm batch: keys unknown extra$"),
        (
            "batch",
            {"model.model.3.bias": None, "a": torch.ones(1), "b": torch.ones(1)},
            "keys missing model.model.3.bias; unknown a, b$",
        ),
        ("batch", {str(number): torch.ones(1) for number in range(8)}, "keys unknown 0, 1, 2, 3, 4, 5 and 2 more$"),
        ("instance", {"model.model.0.bias": None}, "--norm instance: keys missing model.model.0.bias$"),
        (
            "batch",
            {"model.model.1.model.3.model.1.weight": torch.ones(4)},
            "model.model.1.model.3.model.1.weight is 4, must be 12x6x4x4 in a U-Net of width 3 and 5 levels",
        ),
        ("batch", {"model.model.0.weight": torch.ones(())}, "is a single number, not the weight of a convolution$"),
    ],
)
def test_wrong_keys_and_shapes_are_named_in_one_line(
    save: Save, norm: CheckpointNorm, changes: State, message: str
) -> None:
    state = Reference(5, norm).state_dict() | changes
    assert_refused(save({key: value for key, value in state.items() if value is not None}), norm, message)


@pytest.mark.parametrize(
    ("norm", "other", "evidence"),
    [
        ("batch", "instance", "model.model.0.bias"),
        ("instance", "batch", "model.model.1.model.2.weight"),
    ],
)
def test_the_wrong_norm_is_named(save: Save, norm: CheckpointNorm, other: CheckpointNorm, evidence: str) -> None:
    message = f"--norm {norm}, but {evidence} is there only with --norm {other}: give that$"
    assert_refused(save(Reference(5, other).state_dict()), norm, message)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_one_channel_generators_are_converted(save: Save, norm: CheckpointNorm) -> None:
    for reference, size in ((Reference(5, norm, channels=1), 32), (ReferenceResNet(6, norm, False, channels=1), 16)):
        converted = load_junyanz(save(reference.state_dict()), norm)
        assert (converted.config.in_channels, converted.config.out_channels) == (1, 1)  # type: ignore[union-attr]
        photo = torch.rand(1, 1, size, size) * 2.0 - 1.0
        with torch.no_grad():
            torch.testing.assert_close(converted(photo), reference(photo), atol=1e-5, rtol=0.0)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, norm: CheckpointNorm, dropout: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for half in range(2):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=norm == "instance")]
            layers.append(norm_of(norm, channels))
            if half == 0:
                layers += [nn.ReLU(True), *([nn.Dropout(0.5)] if dropout else [])]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        inside: Tensor = self.conv_block(x)
        return x + inside


class ReferenceResNet(nn.Module):
    """A resnet_9blocks or resnet_6blocks in train mode, its dropout without effect."""

    def __init__(self, num_blocks: int, norm: CheckpointNorm, dropout: bool, channels: int = 3) -> None:
        super().__init__()
        bias = norm == "instance"
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(channels, WIDTH, 7, bias=bias), norm_of(norm, WIDTH), nn.ReLU(True)]
        for inputs in (WIDTH, 2 * WIDTH):
            layers += [nn.Conv2d(inputs, 2 * inputs, 3, 2, 1, bias=bias), norm_of(norm, 2 * inputs), nn.ReLU(True)]
        layers += [ResidualBlock(4 * WIDTH, norm, dropout) for _ in range(num_blocks)]
        for inputs in (4 * WIDTH, 2 * WIDTH):
            layers.append(nn.ConvTranspose2d(inputs, inputs // 2, 3, 2, 1, output_padding=1, bias=bias))
            layers += [norm_of(norm, inputs // 2), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(WIDTH, channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        generator = torch.Generator().manual_seed(num_blocks)
        for name, value in self.state_dict().items():
            if value.is_floating_point():
                value.normal_(1.0 if name.endswith("running_var") else 0.0, 0.3, generator=generator)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

    def forward(self, x: Tensor) -> Tensor:
        image: Tensor = self.model(x)
        return image


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("num_blocks", [6, 9])
def test_a_resnet_gives_what_the_reference_gives_at_batch_1(
    save: Save, num_blocks: int, dropout: bool, norm: CheckpointNorm
) -> None:
    reference = ReferenceResNet(num_blocks, norm, dropout)
    converted = load_junyanz(save(reference.state_dict()), norm)
    assert converted.config == ResNetConfig(width=WIDTH, kind=f"resnet{num_blocks}", styles=0)  # type: ignore[arg-type]
    photos = torch.rand(2, 3, 24, 16, dtype=torch.float64) * 2.0 - 1.0  # in fp32 rounding alone amounts to 1.5e-5
    with torch.no_grad():
        expected = torch.cat([reference.double()(photo[None]) for photo in photos])
    assert expected.std() > 0.1
    torch.testing.assert_close(converted.double()(photos), expected, atol=1e-5, rtol=0.0)


def test_image_sizes_fit_the_network(save: Save) -> None:
    unet = load_junyanz(save(Reference(7, "batch").state_dict()), "batch")
    assert [image_size_of(unet, size) for size in (None, 128, 512)] == [128, 128, 512]
    with pytest.raises(UserError, match=r"image-size 192: must be a multiple of 128 for this unet$"):
        image_size_of(unet, 192)
    resnet = load_junyanz(save(ReferenceResNet(6, "batch", False).state_dict()), "batch")
    assert [image_size_of(resnet, size) for size in (None, 100)] == [256, 100]
    with pytest.raises(UserError, match=r"image-size 30: must be a multiple of 4 for this resnet6$"):
        image_size_of(resnet, 30)


def test_a_unet_256_is_the_same_at_512_pixels(save: Save) -> None:
    reference = Reference(8, "batch")
    converted = load_junyanz(save(reference.state_dict()), "batch")
    photo = torch.rand(1, 3, 512, 512) * 2.0 - 1.0
    with torch.no_grad():
        torch.testing.assert_close(converted(photo), reference(photo), atol=1e-5, rtol=0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model.4.weight": None},
            "not a ResNet of width 3 and 6 blocks from 3 to 3 channels .* missing model.4.weight$",
        ),
        (
            {"model.4.weight": torch.ones(6, 3, 4, 4)},
            "model.4.weight is 6x3x4x4, must be 6x3x3x3 in a ResNet of width 3",
        ),
        ({"model.99.conv_block.1.weight": torch.ones(1)}, "a ResNet of 7 blocks; it must have 6 or 9$"),
    ],
)
def test_wrong_keys_and_shapes_of_a_resnet_are_named(save: Save, changes: State, message: str) -> None:
    state = ReferenceResNet(6, "instance", False).state_dict() | changes
    assert_refused(save({key: value for key, value in state.items() if value is not None}), "instance", message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model.0.weight": torch.ones(1)}, "a discriminator; give the generator, NAME_net_G.pth"),
        ({"down.0.0.weight": torch.ones(1)}, "no generator of junyanz's .it has neither model.model.0.weight nor"),
        ({"model.1.weight": torch.ones(1)}, "no generator of junyanz's .it has neither model.model.0.weight nor"),
        ({}, "no generator of junyanz's"),
        ({"model.model.0.weight": torch.ones(3, 3, 4, 4)}, "a U-Net of 1 levels; it must have 5 to 10$"),
        ({"epoch": 3}, "holds no plain weights by name"),
        ([torch.ones(1)], "holds no plain weights by name"),
        (nn.Linear(1, 1), "no checkpoint that can be read safely .UnpicklingError.: it is damaged, or holds more than"),
    ],
)
def test_other_checkpoints_are_refused(save: Save, content: object, message: str) -> None:
    assert_refused(save(content), "batch", message)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04" + bytes(100)])
def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.pth").write_bytes(content)
    assert_refused(tmp_path / "file.pth", "batch", "no checkpoint that can be read safely")


def test_a_truncated_checkpoint_is_refused(save: Save) -> None:
    path = save(Reference(5, "batch").state_dict())
    path.write_bytes(path.read_bytes()[:-1000])
    assert_refused(path, "batch", "no checkpoint that can be read safely")


@pytest.mark.parametrize("name", ["absent.pth", "."])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    assert_refused(tmp_path / name, "batch", "no such file: give the checkpoint of a generator")


def assert_refused(path: Path, norm: CheckpointNorm, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_junyanz(path, norm)
    assert re.match(re.escape(str(path)), str(caught.value))
    assert "\n" not in str(caught.value)
