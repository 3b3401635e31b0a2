"""How near a DCGAN bundle's portraits are to real ones, how different from each other, and whether they are copies."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limner.core.batch import to_images, to_tensor
from limner.core.bundle import bundle_hash, load_bundle_config, load_generator
from limner.core.config import require
from limner.core.image_grid import comparison_sheet
from limner.core.images import Uint8Image
from limner.core.metrics.diversity import mean_pairwise_distance
from limner.core.metrics.fid import frechet_distance
from limner.core.metrics.inception import extract, load_inception
from limner.core.metrics.kid import kernel_distance
from limner.core.metrics.neighbours import nearest_pictures, own_distance
from limner.core.metrics.precision_recall import precision_recall
from limner.core.metrics.swd import sliced_wasserstein
from limner.data_pipeline.index import Dataset, load_dataset
from limner.data_pipeline.reference import read_photos
from limner.deploy.evaluation.report import Report, Table
from limner.deploy.sampling import draw_latents, draw_styles, generate, generator_config

BATCH = 32
LEAST = 4
"""Portraits on either side: precision and recall look at the 3rd nearest other, KID at two halves of 2."""
SHOWN = 16
SEED = 0
DEFINITIONS = (
    "SWD: sliced Wasserstein distance of 7x7 patches in a Laplacian pyramid, in thousandths, by the level's side, "
    "lower is better. Diversity: mean pairwise distance of the pictures as a fraction of the data's, best at 1. "
    "Nearest: median distance to the nearest picture of the data, both at 32 pixels; far under that of the data's own "
    "pictures means copies."
)
INCEPTION_DEFINITIONS = (
    " FID, KID (its mean and standard deviation over 100 subsets), precision and recall are of the Inception of "
    "2015-12-05 after antialiased bicubic resizing to 299 pixels; FID is biased upwards for few pictures."
)
NO_INCEPTION = (
    " No FID, KID, precision or recall: they need Inception's weights; give --inception FILE, or --inception download."
)


@dataclass(frozen=True)
class PortraitScores:
    """The figures of one set of pictures against the data; those of Inception are None without its weights."""

    swd: dict[int, float]
    diversity: float
    nearest: float
    fid: float | None = None
    kid: float | None = None
    kid_deviation: float | None = None
    precision: float | None = None
    recall: float | None = None


def evaluate_portraits(
    model: Path, data: Path, split: str, inception: Path | None, track: Callable[..., Iterable[list[Uint8Image]]]
) -> Report:
    """As many samples as the split has photos against these, beside the photos mirrored, which shows what is noise.

    UserError where these are under LEAST.

    inception: file of weights; None: no figures of Inception. track: shows progress over an iterable.
    """
    config = load_bundle_config(model)
    dataset = load_dataset(data)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    photos = read_enough(dataset, split, config.image_size, LEAST)
    count = len(photos)
    ours = generator_config(config)
    latents, styles = draw_latents(ours, SEED, count), draw_styles(ours, count, None)
    batches = generate(load_generator(model), latents, styles, BATCH, device)
    drawn = [picture for batch in track(batches, -(-count // BATCH), "drawing") for picture in batch]
    samples = to_tensor(np.stack(drawn))
    scores = {
        "generator": _score(samples, photos, nearest_pictures(samples, photos).distance),
        "data, mirrored": _score(photos.flip(3), photos, own_distance(photos)),
    }
    if inception is not None:
        network = load_inception(inception)
        reference = extract(network, to_images(photos), device)
        for name, pictures in (("generator", samples), ("data, mirrored", photos.flip(3))):
            features = extract(network, to_images(pictures), device)
            scores[name] = _with_inception(scores[name], features, reference)
    facts: dict[str, str | int] = {
        "model": str(model),
        "model_sha256": bundle_hash(model),
        "data": str(dataset.root),
        "data_name": dataset.name,
        "data_sha256": dataset.content_hash,
        "split": split,
        "pictures": count,
        "image_size": config.image_size,
        "seed": SEED,
    }
    return Report(
        title=f"Evaluation of {model} on {dataset.name}, {split}",
        facts=facts,
        tables=[_table(f"{count} samples against {count} portraits", scores)],
        notes=DEFINITIONS + (NO_INCEPTION if inception is None else INCEPTION_DEFINITIONS),
        sheet=neighbour_sheet(samples[:SHOWN], photos, count=1),
        sheet_title="Samples beside the nearest portraits of the data",
        metrics={**facts, "scores": {name: asdict(score) for name, score in scores.items()}},
    )


def read_enough(dataset: Dataset, split: str, size: int, least: int) -> Tensor:
    """The photos of a split, (N, 3, size, size) float in [-1, 1]; UserError where they are under `least`."""
    records = dataset.split(split)
    require(
        len(records) >= least,
        f"{dataset.root} has {len(records)} portraits in split {split!r}, to compare with them takes at least {least}: "
        "give another split, or another dataset",
    )
    return read_photos(dataset.root, records, size)


def _score(pictures: Tensor, photos: Tensor, nearest: Tensor) -> PortraitScores:
    return PortraitScores(
        swd=sliced_wasserstein(pictures, photos),
        diversity=mean_pairwise_distance(pictures) / mean_pairwise_distance(photos),
        nearest=float(nearest.median()),
    )


def _with_inception(scores: PortraitScores, features: Tensor, reference: Tensor) -> PortraitScores:
    kid, deviation = kernel_distance(features, reference)
    precision, recall = precision_recall(features, reference)
    return replace(
        scores,
        fid=frechet_distance(features, reference),
        kid=kid,
        kid_deviation=deviation,
        precision=precision,
        recall=recall,
    )


def _table(title: str, scores: Mapping[str, PortraitScores]) -> Table:
    first = next(iter(scores.values()))
    columns = ["pictures", *(f"SWD {side}" for side in first.swd), "SWD mean", "diversity", "nearest"]
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


def neighbour_sheet(samples: Tensor, photos: Tensor, count: int) -> Uint8Image:
    """Each of (N, 3, S, S) samples beside the `count` photos (M, 3, S, S) that are nearest to it."""
    found = nearest_pictures(samples, photos, count)
    columns = {"sample": list(to_images(samples))}
    for place in range(count):
        columns[f"nearest {place + 1}"] = list(to_images(photos[found.number[:, place]]))
    return comparison_sheet(columns, [f"distance {distance:.3f}" for distance in found.distance[:, 0].tolist()])
