"""DISTS (Ding et al. 2020, arXiv:2004.07728): structure and texture in features of VGG16, tolerant of resampling."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.core.perceptual.lpips import VGG16
from limner.core.perceptual.weights import load_weights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of images in [0, 1]."""
STABILITY = 1e-6
"""c1 = c2 of equations 5 and 6."""
CHANNELS = (3, 64, 128, 256, 512, 512)
"""Of the image and of VGG16's five stages."""


class Dists(nn.Module):
    """The distance, with installed weights of `lpips-vgg` and `dists`; frozen, in eval mode."""

    mean: Tensor
    std: Tensor
    window: Tensor
    alpha: Tensor
    beta: Tensor

    def __init__(self) -> None:
        """Raises UserError, with the command that installs them, if the weights are missing."""
        super().__init__()
        weights, own = load_weights("lpips-vgg"), load_weights("dists")
        self.network = VGG16()
        self.network.load_state_dict({name: value for name, value in weights.items() if not name.startswith("head.")})
        total = own["alpha"].sum() + own["beta"].sum()
        for name in ("alpha", "beta"):
            self.register_buffer(name, (own[name] / total).flatten())
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        hann = torch.hann_window(5, periodic=False)[1:-1]
        window = hann[:, None] * hann[None, :]
        self.register_buffer("window", (window / window.sum()).view(1, 1, 3, 3))
        self.eval().requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Compute the image itself and five maps of images (N, 3, H, W) in [0, 1]."""
        x = (images - self.mean) / self.std
        features, convs = [images], iter(self.network.conv)
        for number, stage in enumerate(VGG16.STAGES):
            if number:
                x = self._l2_pool(x)
            for _ in stage:
                x = F.relu(next(convs)(x))
            features.append(x)
        return features

    def _l2_pool(self, x: Tensor) -> Tensor:
        """Halve the resolution by the root of a windowed mean of squares, in place of maxima (section 3.1)."""
        channels = x.shape[1]
        pooled = F.conv2d(x.square(), self.window.expand(channels, 1, 3, 3), stride=2, padding=1, groups=channels)
        return (pooled + 1e-12).sqrt()

    def distance(self, features: Sequence[Tensor], reference: Sequence[Tensor]) -> Tensor:
        """Compare features of two batches of images by equation 7: (N,) fp32."""
        similar = []
        for ours, theirs in zip(features, reference, strict=True):
            mean, real_mean = ours.mean(dim=(2, 3)), theirs.mean(dim=(2, 3))
            var, real_var = ours.var(dim=(2, 3), correction=0), theirs.var(dim=(2, 3), correction=0)
            covariance = (ours * theirs).mean(dim=(2, 3)) - mean * real_mean
            texture = (2.0 * mean * real_mean + STABILITY) / (mean.square() + real_mean.square() + STABILITY)
            structure = (2.0 * covariance + STABILITY) / (var + real_var + STABILITY)
            similar.append((texture, structure))
        texture, structure = (torch.cat(parts, dim=1) for parts in zip(*similar, strict=True))
        found: Tensor = 1.0 - (texture * self.alpha + structure * self.beta).sum(dim=1)
        return found

    def forward(self, images: Tensor, reference: Tensor) -> Tensor:
        """Compare images (N, 3, H, W) in [0, 1] pair by pair: (N,) fp32, 0 for equal ones."""
        return self.distance(self.features(images), self.features(reference))
