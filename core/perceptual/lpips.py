"""LPIPS (Zhang et al. 2018, arXiv:1801.03924), version 0.1: a distance of images in features of AlexNet or VGG16."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.core.perceptual.weights import load_weights

Backbone = Literal["alex", "vgg"]

MEAN, STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's means and deviations for images in [-1, 1], rounded as in the authors' code."""
EPSILON = 1e-10


class AlexNet(nn.Module):
    """torchvision's AlexNet up to its last convolution: the outputs of its five ReLUs."""

    SHAPES = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
    """Input and output channels, kernel, stride, padding."""
    POOLED = (1, 2)
    """Convolutions after a 3x3 max pooling of stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.ModuleList(
            nn.Conv2d(inputs, outputs, kernel, stride, padding)
            for inputs, outputs, kernel, stride, padding in self.SHAPES
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W), normalised -> five maps."""
        features = []
        for number, conv in enumerate(self.conv):
            if number in self.POOLED:
                x = F.max_pool2d(x, 3, stride=2)
            x = F.relu(conv(x))
            features.append(x)
        return features


class VGG16(nn.Module):
    """torchvision's VGG16 up to its last convolution: the outputs of the last ReLU of each of its five stages."""

    STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

    def __init__(self) -> None:
        super().__init__()
        channels = [3, *(width for stage in self.STAGES for width in stage)]
        self.conv = nn.ModuleList(nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in pairwise(channels))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W), normalised -> five maps."""
        features, convs = [], iter(self.conv)
        for number, stage in enumerate(self.STAGES):
            if number:
                x = F.max_pool2d(x, 2)
            for _ in stage:
                x = F.relu(next(convs)(x))
            features.append(x)
        return features


class Lpips(nn.Module):
    """The distance, with installed weights; frozen, in eval mode."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone) -> None:
        """Raises UserError, with the command that installs them, if the weights are missing."""
        super().__init__()
        weights = load_weights(f"lpips-{backbone}")
        with torch.device("meta"):  # initial weights would advance the random state of a run
            self.network = AlexNet() if backbone == "alex" else VGG16()
        features = {name: value for name, value in weights.items() if not name.startswith("head.")}
        self.network.load_state_dict(features, assign=True)
        heads = [weights[f"head.{number}"] for number in range(5)]
        self.heads = nn.ParameterList(nn.Parameter(head.view(1, -1, 1, 1)) for head in heads)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Compute the network's features of images (N, 3, H, W) in [-1, 1]."""
        features: list[Tensor] = self.network((images - self.mean) / self.std)
        return features

    def distance(self, features: Sequence[Tensor], reference: Sequence[Tensor]) -> Tensor:
        """Compare features of two batches of images by equation 1, with learned weights of channels: (N,) fp32."""
        total = torch.zeros((), device=features[0].device)
        for ours, theirs, head in zip(features, reference, self.heads, strict=True):
            squared = (_unit(ours) - _unit(theirs)).square()
            total = total + (squared * head).sum(dim=1).mean(dim=(1, 2))
        return total

    def forward(self, images: Tensor, reference: Tensor) -> Tensor:
        """Compare images (N, 3, H, W) in [-1, 1] pair by pair: (N,) fp32, 0 for equal ones."""
        return self.distance(self.features(images), self.features(reference))


def _unit(features: Tensor) -> Tensor:
    """Features with channels of unit length at every place, in fp32; the gradient is finite where all are 0 too."""
    features = features.float()
    length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (length + EPSILON)
