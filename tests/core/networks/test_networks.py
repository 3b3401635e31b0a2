"""U-Net and PatchGAN: sizes and counts of the paper, and what conditioning and normalisation promise."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from limner.core.networks.config import PatchGANConfig, UNetConfig
from limner.core.networks.generators import inference_twin
from limner.core.networks.init import init_weights
from limner.core.networks.layers import InstanceNorm
from limner.core.networks.patchgan import PatchGAN, build_patchgan
from limner.core.networks.unet import UNet


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    photo, sketch = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    return photo, sketch


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts_are_the_papers() -> None:
    assert count(UNet(UNetConfig(depth=8, norm="batch"))) / 1e6 == pytest.approx(54.41, abs=0.005)
    assert count(PatchGAN(PatchGANConfig(norm="batch"))) / 1e6 == pytest.approx(2.77, abs=0.005)


def test_encoder_and_decoder_have_the_papers_channels() -> None:
    unet = UNet(UNetConfig(depth=8, norm="batch", dropout=0.5))
    convolutions = [module for module in unet.modules() if isinstance(module, torch.nn.Conv2d)]
    assert [conv.out_channels for conv in convolutions] == [64, 128, 256, 512, 512, 512, 512, 512]
    transposed = [module for module in unet.modules() if isinstance(module, torch.nn.ConvTranspose2d)]
    assert [conv.out_channels for conv in transposed] == [3, 64, 128, 256, 512, 512, 512, 512]
    # Dropout after the up-convolutions to 2x2, 4x4 and 8x8; norm everywhere but the outermost and the bottleneck.
    with_dropout = [any(isinstance(m, torch.nn.Dropout) for m in block.modules()) for block in unet.up]
    assert with_dropout == [False] * 5 + [True] * 3
    with_norm = [any(isinstance(m, torch.nn.BatchNorm2d) for m in block.modules()) for block in unet.down]
    assert with_norm == [False] + [True] * 6 + [False]


@pytest.mark.parametrize(("size", "depth"), [(64, 6), (128, 7), (256, 8), (512, 8), (1024, 8)])
def test_every_allowed_size_passes_through(size: int, depth: int) -> None:
    photo = torch.zeros(1, 3, size, size)
    sketch = UNet(UNetConfig(width=1, depth=depth))(photo)
    assert sketch.shape == photo.shape
    judged = PatchGAN(PatchGANConfig(width=1))(photo, sketch)
    assert [logits.shape for logits in judged.logits] == [(1, 1, size // 8 - 2, size // 8 - 2)]
    assert judged.features == []


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_receptive_field_of_the_discriminator(layers: int, field: int) -> None:
    """The pixels that one logit's gradient reaches are the field's, measured rather than computed."""
    network = PatchGAN(PatchGANConfig(width=2, layers=layers, norm="none"))
    photo = torch.rand(1, 3, 256, 256, requires_grad=True)
    (logits,) = network(photo, torch.rand(1, 3, 256, 256)).logits
    middle = logits.shape[2] // 2
    logits[0, 0, middle, middle].backward()
    assert photo.grad is not None
    touched = photo.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (touched.amax(dim=0) - touched.amin(dim=0) + 1).tolist() == [field, field]


def test_features_are_those_of_every_activation(pair: tuple[Tensor, Tensor]) -> None:
    network = PatchGAN(PatchGANConfig(width=4, norm="none"))
    judged = network(*pair, with_features=True)
    assert [feature.shape[1:] for feature in judged.features] == [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 7, 7)]
    torch.testing.assert_close(network.layers[-1](judged.features[-1]), judged.logits[0], rtol=0.0, atol=0.0)


def test_each_scale_is_a_discriminator_of_the_images_at_half_the_size(pair: tuple[Tensor, Tensor]) -> None:
    config = PatchGANConfig(width=4, layers=2, norm="none", scales=3)
    network = build_patchgan(config, 6, 0, seed=0)
    judged = network(*pair, with_features=True)
    assert [logits.shape[2] for logits in judged.logits] == [14, 6, 2]
    assert len(judged.features) == 3 * 3
    coarser = network.coarser
    assert coarser is not None
    halves = (F.avg_pool2d(image, 3, 2, 1, count_include_pad=False) for image in pair)
    torch.testing.assert_close(coarser(*halves).logits, judged.logits[1:])
    weights = network.state_dict()
    assert not torch.equal(weights["layers.0.weight"], weights["coarser.layers.0.weight"])


def test_one_scale_has_the_weights_that_it_always_had() -> None:
    """Checkpoints of earlier versions are read, and a second scale does not change the first."""
    one, two = (build_patchgan(PatchGANConfig(width=4, scales=scales), 6, 0, seed=5) for scales in (1, 2))
    assert set(one.state_dict()) == {name for name in two.state_dict() if not name.startswith("coarser.")}
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, two.state_dict()[name])


def test_spectral_norm_bounds_every_convolution(pair: tuple[Tensor, Tensor]) -> None:
    network = build_patchgan(PatchGANConfig(width=4, spectral_norm=True, scales=2), 6, 0, seed=1)
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 10
    for _ in range(50):
        network(*pair)
    for convolution in convolutions:
        assert torch.linalg.matrix_norm(convolution.weight.flatten(1), 2).item() == pytest.approx(1.0, rel=0.02)


def test_spectral_norm_starts_from_the_seed_alone() -> None:
    config = PatchGANConfig(width=4, spectral_norm=True)
    states = []
    for seed in (1, 1, 2):
        torch.rand(7)  # numbers in between change nothing
        states.append(build_patchgan(config, 6, 0, seed).state_dict())
    name = "layers.0.parametrizations.weight.0._u"
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[0][name], states[2][name])
    plain = build_patchgan(PatchGANConfig(width=4), 6, 0, 1).state_dict()
    assert torch.equal(plain["layers.0.weight"], states[0]["layers.0.parametrizations.weight.original"])


@pytest.mark.parametrize("upsample", ["transpose", "resize"])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_outputs_do_not_depend_on_the_batch_at_inference(upsample: str, norm: str) -> None:
    unet = UNet(UNetConfig(width=4, depth=4, norm=norm, upsample=upsample, dropout=0.5))  # type: ignore[arg-type]
    init_weights(unet, seed=0)
    unet.eval()
    photos = torch.rand(3, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(unet(photos)[1:2], unet(photos[1:2]), atol=1e-6, rtol=0)


def test_instance_norm_is_batch_norm_of_one_image_while_training() -> None:
    config = UNetConfig(width=4, depth=5)
    instance, batch = UNet(config), UNet(UNetConfig(width=4, depth=5, norm="batch"))
    init_weights(instance, seed=3)
    missing = batch.load_state_dict(instance.state_dict(), strict=False).missing_keys
    assert all("running" in name or "num_batches" in name for name in missing)
    photo = torch.rand(1, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(instance(photo), batch.train()(photo))


def test_a_batch_norm_generator_is_used_by_batch_statistics_at_batch_1() -> None:
    """As its authors do: its twin for inference gives what it gives itself in training mode, without dropout."""
    unet = UNet(UNetConfig(width=4, depth=5, norm="batch"))
    init_weights(unet, seed=3)
    photos = torch.rand(3, 3, 64, 64) * 2 - 1
    twin = inference_twin(unet, 64)
    torch.testing.assert_close(twin(photos), torch.cat([unet.train()(photo[None]) for photo in photos]))
    assert inference_twin(twin, 64) is twin


def test_dropout_is_gone_for_inference() -> None:
    unet = UNet(UNetConfig(width=4, depth=5, dropout=0.5))
    assert not any(isinstance(module, torch.nn.Dropout) for module in inference_twin(unet, 64).modules())


def test_style_changes_the_drawing_and_must_be_given() -> None:
    unet = UNet(UNetConfig(width=4, depth=4, styles=3))
    photo = torch.rand(1, 3, 64, 64)
    drawings = [unet(photo, torch.tensor([style])) for style in range(3)]
    assert not torch.equal(drawings[0], drawings[1])
    with pytest.raises(ValueError, match="needs a style of 0 to 2"):
        unet(photo)


@pytest.mark.parametrize("size", [2, 16])
def test_the_norm_that_trains_fast_on_cpus_is_torchs(size: int) -> None:
    """The same pictures and gradients as those of the class that it extends."""
    layer = InstanceNorm(6, affine=True)
    torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))
    results = []
    for training in (True, False):
        x = torch.randn(3, 6, size, size, generator=torch.Generator().manual_seed(0)).requires_grad_()
        y = layer.train(training)(x)
        results.append([y, *torch.autograd.grad(y.pow(3).sum(), [x, *layer.parameters()])])
    for ours, torchs in zip(*results, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-4, atol=1e-4)


def test_initial_weights_follow_their_seed_alone() -> None:
    networks = [UNet(UNetConfig(width=8, depth=4)) for _ in range(3)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        torch.rand(7)  # draws in between change nothing
        init_weights(network, seed)
    first, same, other = (torch.cat([p.flatten() for p in network.parameters()]) for network in networks)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    convolution = networks[0].down[2][1].weight  # type: ignore[index]
    assert convolution.std().item() == pytest.approx(0.02, rel=0.1)
