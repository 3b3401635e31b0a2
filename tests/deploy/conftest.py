"""Small generators, and what is made of them once for all tests: an export takes seconds."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import openvino
import pytest
import torch
from onnx import ModelProto
from torch import nn

import limner.deploy.latency
from limner.core.bundle import BundleConfig, save_bundle
from limner.core.networks.config import DCGANGeneratorConfig, ResNetConfig, UNetConfig
from limner.core.networks.init import init_weights
from limner.core.signature import Signature
from limner.deploy.build import build
from limner.deploy.graph.export import export_onnx
from limner.deploy.options import BuildOptions

SIZE = 64


CONFIGS: dict[str, UNetConfig | ResNetConfig | DCGANGeneratorConfig] = {
    "instance": UNetConfig(width=8, depth=5),
    "batch": UNetConfig(width=8, depth=5, norm="batch"),
    "styled": UNetConfig(width=8, depth=5, styles=3, upsample="resize"),
    "grey": UNetConfig(in_channels=1, out_channels=1, width=8, depth=5),
    "resnet": ResNetConfig(width=8, kind="resnet6"),
    "paper": DCGANGeneratorConfig("paper", latent=16, width=8),
    "modern": DCGANGeneratorConfig("modern", latent=16, width=8, styles=3),
}
"""Generators small enough for tests, one of every kind."""


def bundle_config(name: str) -> BundleConfig:
    generator = CONFIGS[name]
    styles = tuple(f"style {i}" for i in range(generator.styles or 0))
    return BundleConfig(
        "dcgan" if isinstance(generator, DCGANGeneratorConfig) else "pix2pix", SIZE, "pad", styles, generator
    )


def vivid(generator: nn.Module) -> nn.Module:
    """With weights that give images with contrast; freshly initialised networks give nearly flat ones."""
    init_weights(generator, seed=0, std=0.1)
    for module in generator.modules():  # running statistics as after training, so that folding them changes something
        if isinstance(module, nn.BatchNorm2d):
            statistics = torch.Generator().manual_seed(1)
            module.running_mean = torch.randn(module.num_features, generator=statistics) * 0.05
            module.running_var = torch.rand(module.num_features, generator=statistics) + 0.5
    return generator.eval().requires_grad_(False)


def run_openvino(model: openvino.Model, inputs: Any) -> Any:
    """The first output of a graph in fp32 arithmetic; inputs by name or in order."""
    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)[0]


Case = tuple[nn.Module, Signature, ModelProto]
"""A generator, its float signature and its fp32 graph."""


@pytest.fixture(scope="session", autouse=True)
def without_pauses() -> Iterator[None]:
    """Latency as it comes: no test asks whether it is exact."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limner.deploy.latency, "SETTLE_S", 0.0)
        yield


@pytest.fixture(scope="session")
def case() -> Callable[[str], Case]:
    """Generators by name, exported on first use."""

    @cache
    def make(name: str) -> Case:
        config = bundle_config(name)
        generator, signature = vivid(config.build()), config.signature
        return generator, signature, export_onnx(generator, signature)

    return make


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in the place where a run leaves it: runs/small/model."""
    directory = tmp_path_factory.mktemp("work") / "runs" / "small" / "model"
    config = bundle_config("instance")
    save_bundle(directory, vivid(config.build()), config)
    return directory


@pytest.fixture(scope="session")
def engine_directory(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OpenVINO engine of the bundle, fp32, for batches of 1 to 4; tests that change it copy it first."""
    out = tmp_path_factory.mktemp("engines") / "small"
    build(bundle, out, BuildOptions(backend="openvino", batch=(1, 2, 4)), report=lambda line: None)
    return out
