"""Evaluation of a translator on the pairs of a split, next to baselines that need no training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from limner.core.batch import to_images
from limner.core.config import require
from limner.core.image_grid import comparison_grid
from limner.core.images import LUMA, Uint8Image
from limner.core.metrics.bootstrap import mean_interval
from limner.core.metrics.paired import PAIR_METRICS, PairMetric, PairScores, mean_scores, score_pair
from limner.core.util.log import log
from limner.core.util.progress import track
from limner.core.util.text import count_of
from limner.data_pipeline.index import SPLITS, Dataset, Record
from limner.data_pipeline.reference import read_pairs
from limner.deploy.evaluation.report import Report, Table
from limner.deploy.translation import Translator

GENERATOR, MEAN_SKETCH, GREY_PHOTO, BLANK_PAGE = "generator", "mean training sketch", "grey photo", "blank page"
BASELINES = {
    MEAN_SKETCH: "The average of all training sketches, one image for every photo: a useful generator scores better.",
    GREY_PHOTO: "The photo without its colours: the score of drawing nothing at all.",
    BLANK_PAGE: "White everywhere: low L1 even for this, since a sketch is mostly paper.",
}
INTERVAL = "Half the width of the 95 % bootstrap interval of the mean: how far other such pairs would move it."
EXTREMES = 4
"""Best pairs in the grid, and as many of the worst."""


@dataclass(frozen=True)
class Pair:
    """A photo, the generator's sketch and the real one: (S, S, 3) uint8 each."""

    photo: Uint8Image
    generated: Uint8Image
    real: Uint8Image


@dataclass(frozen=True)
class ScoredPair:
    """The scores of one pair by method: the generator and the baselines."""

    record: Record
    scores: dict[str, PairScores]


class PairEvaluator:
    """Scores a translator on a split, one image at a time, so that no score depends on a batch size."""

    def __init__(
        self,
        translator: Translator,
        dataset: Dataset,
        split: str | None = None,
        metrics: Sequence[PairMetric] = PAIR_METRICS,
    ) -> None:
        """split: None: test, or else val, or else train, which is logged.

        Raises UserError if dataset and split do not suit the translator.
        """
        self.translator, self.dataset, self.metrics = translator, dataset, metrics
        self.split = split or _default_split(dataset)
        self.records = dataset.split(self.split)
        _check_match(translator, dataset, self.records)

    def run(self) -> Report:
        """Score every pair."""
        return self.report([self.score(record) for record in track(self.records, len(self.records), "evaluating")])

    def generate(self, record: Record) -> Pair:
        """Read a pair at the generator's size, without augmentation, and generate its sketch."""
        size = self.translator.image_size
        (batch,) = read_pairs(self.dataset.root, [record], size, batch_size=1)
        assert batch.sketch is not None
        photo, real = to_images(batch.photo)[0], to_images(batch.sketch)[0]
        styles = [record.style] if self.translator.styles else None
        (generated,) = self.translator.generate([photo], 1, styles)
        return Pair(photo, generated, real)

    def score(self, record: Record) -> ScoredPair:
        """Score the generator's sketch and the baselines against the real sketch."""
        pair = self.generate(record)
        grey = np.rint(pair.photo @ LUMA).astype(np.uint8)
        images = {GENERATOR: pair.generated}
        if self.mean_sketch is not None:
            images[MEAN_SKETCH] = self.mean_sketch
        images[GREY_PHOTO] = np.repeat(grey[..., None], 3, axis=2)
        images[BLANK_PAGE] = np.full_like(pair.real, 255)
        return ScoredPair(record, {name: self._scores(image, pair) for name, image in images.items()})

    def _scores(self, image: Uint8Image, pair: Pair) -> PairScores:
        return score_pair(image, pair.real, metrics=self.metrics)

    @cached_property
    def mean_sketch(self) -> Uint8Image | None:
        """The mean of all training sketches, of whatever style; None if the dataset has none."""
        size = self.translator.image_size
        sketches = [replace(row, photo=row.sketch, sketch=None) for row in self.dataset.splits["train"] if row.sketch]
        if not sketches:
            return None
        total = torch.zeros(1, 3, size, size, dtype=torch.float64)
        for batch in read_pairs(self.dataset.root, sketches, size, batch_size=16):
            total += batch.photo.sum(dim=0, dtype=torch.float64)
        mean: Uint8Image = to_images(total / len(sketches))[0]
        return mean

    def report(self, pairs: Sequence[ScoredPair]) -> Report:
        """Report means over all pairs and over those of each style, and show the best and the worst pairs."""
        by_style = {
            name: members
            for number, name in enumerate(self.dataset.styles)
            if (members := [pair for pair in pairs if pair.record.style == number])
        }
        facts: dict[str, str | int] = {
            "model": self.translator.name,
            "model_sha256": self.translator.source.bundle_hash,
            "data": str(self.dataset.root),
            "data_name": self.dataset.name,
            "data_sha256": self.dataset.content_hash,
            "split": self.split,
            "pairs": len(pairs),
            "image_size": self.translator.image_size,
        }
        metrics = {
            "scores": _means(pairs),
            "intervals_95": _intervals(pairs),
            "styles": {name: _means(members) for name, members in by_style.items()},
            "styles_intervals_95": {name: _intervals(members) for name, members in by_style.items()},
            "cases": {pair.record.id: pair.scores[GENERATOR] for pair in pairs},
        }
        baselines = {name: text for name, text in BASELINES.items() if name in pairs[0].scores}
        return Report(
            title=f"Evaluation of {self.translator.name} on {self.dataset.name}, {self.split}",
            facts=facts,
            tables=[self._table("all", pairs), *(self._table(name, members) for name, members in by_style.items())],
            definitions={**{metric.title: metric.definition for metric in self.metrics}, **baselines, "±": INTERVAL},
            grid=self.grid(pairs),
            grid_title=f"Best and worst of {count_of(len(pairs), 'pair')} by {self._ranking.title}",
            metrics={**facts, **metrics},
        )

    def grid(self, pairs: Sequence[ScoredPair]) -> Uint8Image:
        """Show the best pairs by LPIPS, or else SSIM, best first, then the worst, worst first; none twice."""
        better = 1.0 if self._ranking.key == "lpips_alex" else -1.0
        ranked = sorted(pairs, key=lambda pair: better * pair.scores[GENERATOR][self._ranking.key])
        count = min(EXTREMES, (len(ranked) + 1) // 2)
        best, worst = ranked[:count], ranked[count:][: -count - 1 : -1]
        images = [self.generate(pair.record) for pair in (*best, *worst)]
        captions = [
            f"{rank} {number}: {self._caption(pair)}"
            for rank, members in (("best", best), ("worst", worst))
            for number, pair in enumerate(members, 1)
        ]
        columns = {name: [getattr(pair, name) for pair in images] for name in ("photo", "generated", "real")}
        return comparison_grid(columns, captions)

    @property
    def _ranking(self) -> PairMetric:
        """What orders the pairs."""
        by_key = {metric.key: metric for metric in self.metrics}
        return by_key.get("lpips_alex") or by_key.get("ssim") or self.metrics[0]

    def _caption(self, pair: ScoredPair) -> str:
        scores = pair.scores[GENERATOR]
        values = (f"{metric.title} {scores[metric.key]:.{metric.decimals}f}" for metric in self.metrics)
        return ", ".join([pair.record.id, *values])

    def _table(self, name: str, pairs: Sequence[ScoredPair]) -> Table:
        means, intervals = _means(pairs), _intervals(pairs)
        rows = [
            (method, *(_cell(metric, mean, intervals[method]) for metric in self.metrics))
            for method, mean in means.items()
        ]
        title = f"{name} ({count_of(len(pairs), 'pair')})"
        return Table(title, ("method", *(metric.title for metric in self.metrics)), rows)


def _default_split(dataset: Dataset) -> str:
    """Return the first of test, val and train that has images; log it if it is not test."""
    split = next((name for name in reversed(SPLITS) if dataset.splits[name]), "test")
    if split != "test":
        log.info(f"--split {split} ({dataset.root} has no test split)")
    return split


def _cell(metric: PairMetric, means: PairScores, intervals: dict[str, tuple[float, float]]) -> str:
    low, high = intervals[metric.key]
    mean = f"{means[metric.key]:.{metric.decimals}f}"
    return f"{mean} ±{(high - low) / 2:.{metric.decimals}f}".replace("±0.", "±.") if math.isfinite(low) else mean


def _intervals(pairs: Sequence[ScoredPair]) -> dict[str, dict[str, tuple[float, float]]]:
    """By method and metric."""
    return {
        method: {key: mean_interval([pair.scores[method][key] for pair in pairs]) for key in scores}
        for method, scores in pairs[0].scores.items()
    }


def _means(pairs: Sequence[ScoredPair]) -> dict[str, PairScores]:
    return {method: mean_scores(pair.scores[method] for pair in pairs) for method in pairs[0].scores}


def _check_match(translator: Translator, dataset: Dataset, records: Sequence[Record]) -> None:
    """Raise UserError if the translator cannot be evaluated on these records."""
    unpaired = sum(record.sketch is None for record in records)
    require(
        not unpaired,
        f"{dataset.root}: photos without a sketch: {unpaired} of {len(records)}; give --data a paired dataset",
    )
    require(
        translator.styles in ((), dataset.styles),
        f"the model was trained on styles {', '.join(translator.styles)}, {dataset.root} has "
        f"{', '.join(dataset.styles) or 'none'}: give --data a dataset of the model's styles",
    )
    fit = translator.source.fit
    require(
        fit == dataset.fit,
        f"the model was trained on images fitted by {fit}, those of {dataset.root} are by {dataset.fit}: "
        f"prepare the dataset with --fit {fit}",
    )
