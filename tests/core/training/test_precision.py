"""One object for fp32, bf16 and fp16: what it chooses, what it refuses, how near the precisions are."""

from collections.abc import Callable

import pytest
import torch

from limner.core.batch import Batch
from limner.core.config import Precision
from limner.core.networks.config import PatchGANConfig, UNetConfig
from limner.core.networks.init import init_weights
from limner.core.networks.patchgan import PatchGAN
from limner.core.networks.unet import UNet
from limner.core.tasks.pix2pix.config import Pix2PixConfig
from limner.core.tasks.pix2pix.objective import Pix2PixObjective
from limner.core.training.precision import MixedPrecision, has_fast_bf16
from limner.core.training.step import TrainingStep
from limner.core.util.errors import UserError

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)


Build = Callable[[Precision, torch.device], TrainingStep]
Losses = Callable[[Precision, torch.device, Batch, int], list[float]]


@pytest.fixture
def build(make_step: Callable[..., TrainingStep]) -> Build:
    def make(precision: Precision, device: torch.device) -> TrainingStep:
        generator, discriminator = UNet(UNetConfig(width=4, depth=4)), PatchGAN(PatchGANConfig(width=4, layers=2))
        init_weights(generator, 9)
        init_weights(discriminator, 13)
        return make_step(Pix2PixObjective(Pix2PixConfig(), device), generator, discriminator, precision, device)

    return make


@pytest.fixture
def losses(build: Build) -> Losses:
    def train(precision: Precision, device: torch.device, batch: Batch, steps: int) -> list[float]:
        step = build(precision, device)
        assert batch.sketch is not None
        there = Batch(batch.photo.to(device), batch.sketch.to(device), batch.style.to(device), batch.position)
        return [float(step([there], 2 * (n + 1), 2, lr=2e-4)["loss/l1"]) for n in range(steps)]

    return train


def test_auto_takes_bf16_where_the_hardware_has_it() -> None:
    assert MixedPrecision("auto", CPU).name == ("bf16" if has_fast_bf16(CPU) else "fp32")


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(UserError, match="precision fp16 trains on a GPU only: use bf16, fp32 or auto on a CPU"):
        MixedPrecision("fp16", CPU)


def test_fp32_on_a_cpu_is_nchw_and_the_rest_channels_last() -> None:
    assert MixedPrecision("fp32", CPU).memory_format == torch.contiguous_format
    assert MixedPrecision("bf16", CPU).memory_format == torch.channels_last


def test_autocast_lowers_the_arithmetic_and_not_the_weights(build: Build) -> None:
    step = build("bf16", CPU)
    network = step.networks["generator"].network
    with step.precision.autocast():
        assert network(torch.zeros(1, 3, 32, 32)).dtype == torch.bfloat16
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_bf16_learns_what_fp32_learns(make_batch: Callable[..., Batch], losses: Losses) -> None:
    """L1 over five steps within 2 %."""
    batch = make_batch(2, 32)
    assert losses("bf16", CPU, batch, 5) == pytest.approx(losses("fp32", CPU, batch, 5), rel=0.02)


def test_a_step_returns_the_norm_of_its_gradients() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    precision = MixedPrecision("fp32", CPU)
    precision.backward((weight * torch.tensor([3.0, 4.0])).sum(), "generator")
    assert precision.step(optimizer, "generator").item() == pytest.approx(5.0)
    assert weight.tolist() == [-2.0, -2.0]
    assert precision.state_dict() == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.005), ("bf16", 0.03), ("fp16", 0.01)])
def test_a_gpu_learns_what_the_cpu_learns(
    make_batch: Callable[..., Batch], losses: Losses, precision: Precision, tolerance: float
) -> None:
    batch = make_batch(2, 32)
    assert losses(precision, GPU, batch, 50) == pytest.approx(losses("fp32", CPU, batch, 50), rel=tolerance)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_fp16_scalers_are_apart_and_come_back(make_batch: Callable[..., Batch], build: Build) -> None:
    step = build("fp16", GPU)
    batch = make_batch(2, 32)
    assert batch.sketch is not None
    step([Batch(batch.photo.to(GPU), batch.sketch.to(GPU), batch.style.to(GPU), batch.position)], 2, 2, lr=2e-4)
    state = step.precision.state_dict()
    assert set(state) == {"generator", "discriminator"}
    twin = MixedPrecision("fp16", GPU)
    twin.load_state_dict(state)
    assert twin.state_dict() == state
