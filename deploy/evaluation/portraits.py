"""Evaluation of a sampler against the portraits of a split: realism, diversity, copies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limner.core.batch import to_images, to_tensor
from limner.core.config import require
from limner.core.image_grid import comparison_grid
from limner.core.images import Uint8Image
from limner.core.metrics.diversity import mean_pairwise_distance
from limner.core.metrics.fid import frechet_distance
from limner.core.metrics.inception import extract, load_inception
from limner.core.metrics.kid import kernel_distance
from limner.core.metrics.neighbours import distance_within, nearest_images
from limner.core.metrics.precision_recall import precision_recall
from limner.core.metrics.swd import sliced_wasserstein
from limner.core.util.progress import track
from limner.core.util.text import count_of
from limner.data_pipeline.index import Dataset
from limner.data_pipeline.reference import read_photos
from limner.deploy.evaluation.report import Report, Table
from limner.deploy.sampling import Sampler

BATCH_SIZE = 32
MIN_PORTRAITS = 4
"""On either side: precision and recall need the 3rd nearest other, KID two halves of 2."""
GRID_ROWS = 16
SEED = 0
GENERATOR, MIRRORED = "generator", "data, mirrored"
DEFINITIONS = {
    "SWD N": "Sliced Wasserstein distance of 7x7 patches in thousandths, at N pixels, where a small N compares large "
    "shapes and a large N texture: lower is better.",
    "diversity": "Mean distance between two images of the set as a fraction of the dataset's: best at 1, and near 0 if "
    "all look alike.",
    "nearest": "Median distance to the most similar portrait of the dataset, at 32 pixels: far below that of "
    f"'{MIRRORED}' means copies.",
    MIRRORED: "The dataset's own portraits, mirrored: about the best that a generator can score.",
}
INCEPTION_DEFINITIONS = {
    "FID": "Fréchet distance between the distributions of Inception's features: lower is better, and comparable only "
    "for equal numbers of images.",
    "KID": "Kernel distance of the same features, unbiased for few images, with its standard deviation over 100 "
    "subsets: lower is better.",
    "precision": "Share of generated portraits that lie among the dataset's by these features: higher is better.",
    "recall": "Share of the dataset's portraits that lie among the generated ones: higher is better.",
}
NO_INCEPTION = {
    "FID, KID, precision, recall": "Not computed without Inception's weights: give --inception FILE, or --inception "
    "download.",
}


@dataclass(frozen=True)
class PortraitScores:
    """Scores of a set of images against the data; None for those that need Inception, without its weights."""

    swd: dict[int, float]
    diversity: float
    nearest: float
    fid: float | None = None
    kid: float | None = None
    kid_deviation: float | None = None
    precision: float | None = None
    recall: float | None = None


def evaluate_portraits(sampler: Sampler, dataset: Dataset, split: str, inception: Path | None) -> Report:
    """Compare as many samples as the split has photos with these, next to the photos mirrored.

    inception: file of weights; None: no metrics of Inception's features. UserError for fewer than MIN_PORTRAITS photos.
    """
    photos = read_enough(dataset, split, sampler.image_size, MIN_PORTRAITS)
    count = len(photos)
    images = sampler.generate(sampler.sample_latents(count, SEED), sampler.choose_styles(count), BATCH_SIZE)
    samples = to_tensor(np.stack(list(track(images, count, "generating", BATCH_SIZE))))
    scores = {
        GENERATOR: _score(samples, photos, nearest_images(samples, photos).distance),
        MIRRORED: _score(photos.flip(3), photos, distance_within(photos)),
    }
    if inception is not None:
        scores = _with_inception(scores, {GENERATOR: samples, MIRRORED: photos.flip(3)}, photos, inception)
    facts: dict[str, str | int] = {
        "model": sampler.name,
        "model_sha256": sampler.source.bundle_hash,
        "data": str(dataset.root),
        "data_name": dataset.name,
        "data_sha256": dataset.content_hash,
        "split": split,
        "images": count,
        "image_size": sampler.image_size,
        "seed": SEED,
    }
    return Report(
        title=f"Evaluation of {sampler.name} on {dataset.name}, {split}",
        facts=facts,
        tables=[_table(f"{count_of(count, 'sample')} against {count_of(count, 'portrait')}", scores)],
        definitions=DEFINITIONS | (NO_INCEPTION if inception is None else INCEPTION_DEFINITIONS),
        grid=neighbour_grid(samples[:GRID_ROWS], photos, 1),
        grid_title="Samples next to the nearest portraits of the data",
        metrics={**facts, "pictures": count, "scores": {name: asdict(score) for name, score in scores.items()}},
    )


def read_enough(dataset: Dataset, split: str, size: int, minimum: int) -> Tensor:
    """Read the photos of a split, (N, 3, size, size) float in [-1, 1]; UserError for fewer than `minimum`."""
    records = dataset.split(split)
    require(
        len(records) >= minimum,
        f"{dataset.root} has {count_of(len(records), 'portrait')} in split {split!r}, the comparison needs at least "
        f"{minimum}: give another split, or another dataset",
    )
    return read_photos(dataset.root, records, size)


def _score(images: Tensor, photos: Tensor, nearest: Tensor) -> PortraitScores:
    return PortraitScores(
        swd=sliced_wasserstein(images, photos),
        diversity=mean_pairwise_distance(images) / mean_pairwise_distance(photos),
        nearest=float(nearest.median()),
    )


def _with_inception(
    scores: Mapping[str, PortraitScores], images: Mapping[str, Tensor], photos: Tensor, weights: Path
) -> dict[str, PortraitScores]:
    """Add the metrics of Inception's features to the scores of each set of images."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_inception(weights)
    reference = extract(network, to_images(photos), device)
    complete = {}
    for name, score in scores.items():
        features = extract(network, to_images(images[name]), device)
        kid, deviation = kernel_distance(features, reference)
        precision, recall = precision_recall(features, reference)
        complete[name] = replace(
            score,
            fid=frechet_distance(features, reference),
            kid=kid,
            kid_deviation=deviation,
            precision=precision,
            recall=recall,
        )
    return complete


def _table(title: str, scores: Mapping[str, PortraitScores]) -> Table:
    first = next(iter(scores.values()))
    columns = ["images", *(f"SWD {side}" for side in first.swd), "SWD mean", "diversity", "nearest"]
    rows = []
    for name, score in scores.items():
        distances = [*score.swd.values(), sum(score.swd.values()) / len(score.swd)]
        row = [name, *(f"{distance:.1f}" for distance in distances), f"{score.diversity:.3f}", f"{score.nearest:.3f}"]
        if score.fid is not None:
            row += [f"{score.fid:.2f}", f"{score.kid:.5f} ± {score.kid_deviation:.5f}"]
            row += [f"{score.precision:.3f}", f"{score.recall:.3f}"]
        rows.append(row)
    if first.fid is not None:
        columns += ["FID", "KID", "precision", "recall"]
    return Table(title, columns, rows)


def neighbour_grid(samples: Tensor, photos: Tensor, count: int, names: Sequence[str] | None = None) -> Uint8Image:
    """Show each of (N, 3, S, S) samples next to the `count` photos (M, 3, S, S) that are nearest to it.

    names: what the captions call the samples; None: nothing.
    """
    found = nearest_images(samples, photos, count)
    columns = {"sample": list(to_images(samples))}
    for rank in range(count):
        columns["nearest" if count == 1 else f"nearest {rank + 1}"] = list(to_images(photos[found.index[:, rank]]))
    captions = [f"distance {distance:.3f}" for distance in found.distance[:, 0].tolist()]
    if names is not None:
        captions = [f"{name}, {caption}" for name, caption in zip(names, captions, strict=True)]
    return comparison_grid(columns, captions)
