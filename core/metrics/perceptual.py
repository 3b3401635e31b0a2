"""Metrics of sketches that ask for strokes, where pixels forgive a blur. One is a function and a row here."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from limner.core.images import LUMA
from limner.core.metrics.fsim import fsim
from limner.core.metrics.paired import PAIR_METRICS, Image, PairMetric
from limner.core.metrics.scoot import scoot
from limner.core.perceptual.weights import cache_path
from limner.core.util.errors import UserError
from limner.core.util.log import log

if TYPE_CHECKING:
    from torch import Tensor

    from limner.core.perceptual.dists import Dists
    from limner.core.perceptual.lpips import Lpips


def _on_grey(metric: Callable[[Image, Image], float]) -> Callable[[Image, Image, float], float]:
    """The metric of the images' luma, on values in [0, 255]."""

    def compute(generated: Image, real: Image, data_range: float) -> float:
        return metric(*(image @ LUMA * (255.0 / data_range) for image in (generated, real)))

    return compute


def _by_network(name: str, low: float) -> Callable[[Image, Image, float], float]:
    """The distance in features of a network, which takes values in [low, 1]."""

    def compute(generated: Image, real: Image, data_range: float) -> float:
        generated, real = (image / data_range * (1.0 - low) + low for image in (generated, real))
        network = _network(name)
        features = network.features(_to_tensor(generated))
        return float(network.distance(features, _real_features(name, real.tobytes(), real.shape)))

    return compute


@lru_cache(maxsize=2)
def _real_features(name: str, values: bytes, shape: tuple[int, ...]) -> "list[Tensor]":
    """Features of a real image, which is compared with several."""
    return _network(name).features(_to_tensor(np.frombuffer(values).reshape(shape)))


@cache
def _network(name: str) -> "Lpips | Dists":
    from limner.core.perceptual.dists import Dists
    from limner.core.perceptual.lpips import Lpips

    return Lpips("alex") if name == "lpips-alex" else Dists()


def _to_tensor(image: Image) -> "Tensor":
    import torch

    return torch.from_numpy(image.transpose(2, 0, 1).copy()).float()[None]


PERCEPTUAL_METRICS = (
    PairMetric(
        "lpips_alex",
        "LPIPS-Alex",
        3,
        "Distance in features of AlexNet, weighted to agree with people (Zhang et al. 2018): 0 for equal images, lower "
        "is better. Blurs and blank pages lose here.",
        _by_network("lpips-alex", -1.0),
        weights=("lpips-alex",),
    ),
    PairMetric(
        "dists",
        "DISTS",
        3,
        "Distance of structure and texture in features of VGG16 (Ding et al. 2020): 0 for equal images, lower is "
        "better. Forgives a stroke that lies next to the real one.",
        _by_network("dists", 0.0),
        weights=("lpips-vgg", "dists"),
        default=False,
    ),
    PairMetric(
        "fsim",
        "FSIM",
        3,
        "Similarity of edges and gradients of the grey images (Zhang et al. 2011): 1 for equal images, higher is "
        "better.",
        _on_grey(fsim),
    ),
    PairMetric(
        "scoot",
        "SCOOT",
        3,
        "Similarity of stroke texture in 4x4 blocks of the grey images (Fan et al. 2019): 1 for equal images, higher "
        "is better.",
        _on_grey(scoot),
    ),
)
"""For images with values in [0, data_range]."""

METRICS = (*PAIR_METRICS, *PERCEPTUAL_METRICS)


def choose_metrics(keys: Sequence[str] = ()) -> tuple[PairMetric, ...]:
    """The metrics of these keys; without any the default ones, less those whose weights are not installed (logged).

    UserError for an unknown key, and, with the command that installs them, for missing weights of one that is named.
    """
    by_key = {metric.key: metric for metric in METRICS}
    for key in keys:
        if key not in by_key:
            raise UserError(f"metrics {key}: must be among {', '.join(by_key)}")
    chosen = [by_key[key] for key in dict.fromkeys(keys)] or [metric for metric in METRICS if metric.default]
    usable = []
    for metric in chosen:
        missing = " ".join(name for name in metric.weights if not cache_path(name).is_file())
        if missing and keys:
            raise UserError(f"metrics {metric.key}: weights are not installed: limner weights install {missing}")
        if missing:
            log.info(f"{metric.title} is left out: limner weights install {missing}")
        else:
            usable.append(metric)
    return tuple(usable)
