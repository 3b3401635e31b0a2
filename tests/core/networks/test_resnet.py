"""The ResNet generator against an independent writing of CycleGAN's, layer by layer."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from limner.core.networks.config import Norm, ResNetConfig, Upsample
from limner.core.networks.generators import build_generator, inference_twin
from limner.core.networks.init import init_weights
from limner.core.networks.resnet import ResNet


def by_hand(weights: dict[str, Tensor], x: Tensor, num_blocks: int) -> Tensor:
    """The network by functional calls on its weights: instance norm after every convolution but the last."""

    def conv(name: str, x: Tensor, pad: int = 0, stride: int = 1, padding: int = 0) -> Tensor:
        x = F.pad(x, (pad,) * 4, mode="reflect") if pad else x
        x = F.conv2d(x, weights[f"{name}.1.weight" if pad else f"{name}.0.weight"], None, stride, padding)
        norm = f"{name}.2" if pad else f"{name}.1"
        return F.instance_norm(x, weight=weights[f"{norm}.weight"], bias=weights[f"{norm}.bias"])

    x = conv("stem", x, pad=3).relu()
    for level in range(2):
        x = conv(f"down.{level}", x, stride=2, padding=1).relu()
    for block in range(num_blocks):
        x = x + conv(f"blocks.{block}.layers.1", conv(f"blocks.{block}.layers.0", x, pad=1).relu(), pad=1)
    for level in range(2):
        x = F.conv_transpose2d(x, weights[f"up.{level}.0.weight"], stride=2, padding=1, output_padding=1)
        x = F.instance_norm(x, weight=weights[f"up.{level}.1.weight"], bias=weights[f"up.{level}.1.bias"]).relu()
    x = F.conv2d(F.pad(x, (3,) * 4, mode="reflect"), weights["head.1.weight"], weights["head.1.bias"])
    return x.tanh()


@pytest.mark.parametrize(("kind", "num_blocks"), [("resnet9", 9), ("resnet6", 6)])
def test_it_is_the_network_of_cyclegan(kind: str, num_blocks: int) -> None:
    network = build_generator(ResNetConfig(kind=kind, width=4), 32)  # type: ignore[arg-type]
    init_weights(network, 0, std=0.2)
    photo = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2.0 - 1.0
    torch.testing.assert_close(network(photo), by_hand(network.state_dict(), photo, num_blocks), rtol=0, atol=1e-5)


def test_at_width_64_it_has_the_published_number_of_weights() -> None:
    """11.378 M with 9 blocks, biases that a norm undoes included (pytorch-CycleGAN-and-pix2pix prints it)."""
    with torch.device("meta"):
        network = ResNet(ResNetConfig(norm="none"))
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e6, 3) == 11.378


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("upsample", ["transpose", "resize"])
def test_every_option_gives_an_image_of_the_inputs_size(norm: Norm, upsample: Upsample) -> None:
    config = ResNetConfig(kind="resnet6", width=4, norm=norm, upsample=upsample, dropout=0.5, styles=3, out_channels=1)
    network = build_generator(config, 32)
    photo = torch.rand(2, 3, 32, 32)
    image = network(photo, torch.tensor([0, 2]))
    assert image.shape == (2, 1, 32, 32)
    assert image.abs().max() <= 1.0
    with pytest.raises(ValueError, match="needs a style of 0 to 2"):
        network(photo)


def test_for_inference_dropout_and_batch_norm_are_gone() -> None:
    network = build_generator(ResNetConfig(kind="resnet6", width=4, norm="batch", dropout=0.5), 32)
    init_weights(network, 0, std=0.2)
    twin = inference_twin(network, 32)
    assert not any(isinstance(module, torch.nn.Dropout | torch.nn.BatchNorm2d) for module in twin.modules())
    network.config = ResNetConfig(kind="resnet6", width=4, norm="batch")
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    photo = torch.rand(1, 3, 32, 32) * 2.0 - 1.0
    torch.testing.assert_close(twin(photo), network.train()(photo), rtol=1e-4, atol=1e-5)
