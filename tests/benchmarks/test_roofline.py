import pytest
import torch
from torch import nn

from limner.benchmarks.roofline import Limits, Workload, count_workload, measure_limits
from limner.core.networks.config import PatchGANConfig, UNetConfig
from limner.core.networks.patchgan import PatchGAN
from limner.core.networks.unet import UNet

LIMITS = Limits({"fp32": 100.0}, copy_gbytes=10.0)


def test_the_papers_networks_cost_what_the_literature_says() -> None:
    """6.05 and 3.20 GMAC at 256x256; two operations each."""
    with torch.device("meta"):
        photo = torch.empty(1, 3, 256, 256)
        generator, discriminator = UNet(UNetConfig(depth=8)), PatchGAN(PatchGANConfig())
        assert count_workload(lambda: generator(photo)).flop == pytest.approx(2 * 6.05e9, rel=0.01)
        assert count_workload(lambda: discriminator(photo, photo)).flop == pytest.approx(2 * 3.20e9, rel=0.01)


def test_bytes_are_weights_inputs_and_outputs() -> None:
    layer = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    workload = count_workload(lambda: layer(torch.zeros(1, 2, 8, 8)), layer)
    assert workload == Workload(flop=2 * 9 * 2 * 3 * 64, bytes=4 * (2 * 3 * 9 + 2 * 64 + 3 * 64))


def test_the_roofline_fraction_is_of_the_tighter_limit() -> None:
    assert LIMITS.roofline_fraction(Workload(50e9, 1e9), 1.0, "fp32") == pytest.approx(0.5)
    assert LIMITS.roofline_fraction(Workload(1e9, 8e9), 1.0, "fp32") == pytest.approx(0.8)
    assert LIMITS.roofline_fraction(Workload(50e9, 1e9), 1.0, "int8") == pytest.approx(0.5)
    assert LIMITS.roofline_fraction(Workload(50e9, 1e9), 1.0, "bf16") is None


def test_limits_are_found() -> None:
    limits = measure_limits(torch.device("cpu"), quick=True)
    assert limits.matrix_gflops["fp32"] > 0.1
    assert limits.copy_gbytes > 0.1
