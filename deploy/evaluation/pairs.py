"""How well a pix2pix bundle draws the pairs of a split, beside baselines that took no learning."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from limner.core.batch import to_images
from limner.core.bundle import BundleConfig, bundle_hash, load_bundle_config, load_generator
from limner.core.config import require
from limner.core.image_grid import comparison_sheet
from limner.core.images import LUMA, Uint8Image
from limner.core.metrics.paired import PairScores, mean_scores, score_pair
from limner.data_pipeline.index import Dataset, Record, load_dataset
from limner.data_pipeline.reference import read_pairs
from limner.deploy.evaluation.report import Report, Table

GENERATOR = "generator"
EXTREMES = 4
"""Best cases on the sheet, and as many worst ones."""
DEFINITIONS = (
    "L1: mean absolute difference as a fraction of full range, lower is better. PSNR: of each picture, then the mean. "
    "SSIM: 7x7 windows, mean over R, G and B, at most 1, higher is better. Every pair is scored by itself."
)


@dataclass(frozen=True)
class Pair:
    """A photo, what the generator makes of it and what it should be: (S, S, 3) uint8 each."""

    photo: Uint8Image
    generated: Uint8Image
    real: Uint8Image


@dataclass(frozen=True)
class Case:
    """The scores of one pair, by who drew: the generator or a baseline."""

    record: Record
    scores: dict[str, PairScores]


class PairEvaluator:
    """A bundle's generator before the pairs of one split. One picture at a time: no figure depends on a batch size."""

    def __init__(self, model: Path, data: Path, split: str, device: torch.device) -> None:
        """Raises UserError for a bundle, dataset or split that cannot be had, or that do not go together."""
        self.model, self.split, self.device = model, split, device
        self.config = load_bundle_config(model)
        self.dataset = load_dataset(data)
        self.records = self.dataset.split(split)
        _check_match(self.config, self.dataset, self.records)
        self.generator = load_generator(model).to(device)

    @torch.no_grad()
    def draw(self, record: Record) -> Pair:
        """The pair at the generator's size, without augmentation, and the generator's sketch."""
        (batch,) = read_pairs(self.dataset.root, [record], self.config.image_size, batch_size=1)
        assert batch.sketch is not None
        generated = self.generator(batch.photo.to(self.device), batch.style.to(self.device))
        return Pair(*(to_images(images)[0] for images in (batch.photo, generated, batch.sketch)))

    def judge(self, record: Record) -> Case:
        """Score the generator's sketch and the baselines' against the real one."""
        pair = self.draw(record)
        grey = np.rint(pair.photo @ LUMA).astype(np.uint8)
        drawn = {GENERATOR: pair.generated}
        if self.mean_sketch is not None:
            drawn["mean training sketch"] = self.mean_sketch
        drawn["grey photo"] = np.repeat(grey[..., None], 3, axis=2)
        drawn["blank page"] = np.full_like(pair.real, 255)
        return Case(record, {name: score_pair(picture, pair.real) for name, picture in drawn.items()})

    @cached_property
    def mean_sketch(self) -> Uint8Image | None:
        """The mean of all training sketches, of whatever style; None where the dataset has none."""
        size = self.config.image_size
        sketches = [replace(row, photo=row.sketch, sketch=None) for row in self.dataset.splits["train"] if row.sketch]
        if not sketches:
            return None
        total = torch.zeros(1, 3, size, size, dtype=torch.float64)
        for batch in read_pairs(self.dataset.root, sketches, size, batch_size=16):
            total += batch.photo.sum(dim=0, dtype=torch.float64)
        mean: Uint8Image = to_images(total / len(sketches))[0]
        return mean

    def report(self, cases: Sequence[Case]) -> Report:
        """Mean figures over all cases and over each style's, each case's own, and the best and the worst as a sheet."""
        by_style = {
            name: members
            for number, name in enumerate(self.dataset.styles)
            if (members := [case for case in cases if case.record.style == number])
        }
        facts: dict[str, str | int] = {
            "model": str(self.model),
            "model_sha256": bundle_hash(self.model),
            "data": str(self.dataset.root),
            "data_name": self.dataset.name,
            "data_sha256": self.dataset.content_hash,
            "split": self.split,
            "pairs": len(cases),
            "image_size": self.config.image_size,
        }
        figures = {
            "scores": _as_json(cases),
            "styles": {name: _as_json(members) for name, members in by_style.items()},
            "cases": {case.record.id: asdict(case.scores[GENERATOR]) for case in cases},
        }
        return Report(
            title=f"Evaluation of {self.model} on {self.dataset.name}, {self.split}",
            facts=facts,
            tables=[_table("all", cases), *(_table(name, members) for name, members in by_style.items())],
            notes=DEFINITIONS,
            sheet=self.sheet(cases),
            sheet_title=f"Best and worst by SSIM of {len(cases)}",
            metrics={**facts, **figures},
        )

    def sheet(self, cases: Sequence[Case]) -> Uint8Image:
        """The cases with the highest SSIM, best first, then those with the lowest, worst first; none of them twice."""
        ranked = sorted(cases, key=lambda case: -case.scores[GENERATOR].ssim)
        count = min(EXTREMES, (len(ranked) + 1) // 2)
        best, worst = ranked[:count], ranked[count:][: -count - 1 : -1]
        pairs = [self.draw(case.record) for case in (*best, *worst)]
        captions = [
            f"{rank} {number}: {_caption(case)}"
            for rank, chosen in (("best", best), ("worst", worst))
            for number, case in enumerate(chosen, 1)
        ]
        columns = {name: [getattr(pair, name) for pair in pairs] for name in ("photo", "generated", "real")}
        return comparison_sheet(columns, captions)


def _caption(case: Case) -> str:
    scores = case.scores[GENERATOR]
    return f"L1 {scores.l1:.3f}, SSIM {scores.ssim:.3f}, {case.record.id}"


def _means(cases: Sequence[Case]) -> dict[str, PairScores]:
    return {name: mean_scores(case.scores[name] for case in cases) for name in cases[0].scores}


def _as_json(cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    return {name: asdict(scores) for name, scores in _means(cases).items()}


def _table(name: str, cases: Sequence[Case]) -> Table:
    rows = [
        (drawn_by, f"{mean.l1:.4f}", f"{mean.psnr_db:.2f}", f"{mean.ssim:.4f}")
        for drawn_by, mean in _means(cases).items()
    ]
    return Table(f"{name} ({len(cases)} pairs)", ("drawn by", "L1", "PSNR (dB)", "SSIM"), rows)


def _check_match(config: BundleConfig, dataset: Dataset, records: Sequence[Record]) -> None:
    """UserError where the bundle cannot be judged on these records."""
    unpaired = sum(record.sketch is None for record in records)
    require(
        not unpaired,
        f"{dataset.root}: {unpaired} of {len(records)} photos have no sketch: give --data a paired dataset",
    )
    require(
        config.styles in ((), dataset.styles),
        f"the model was trained on styles {', '.join(config.styles)}, {dataset.root} has "
        f"{', '.join(dataset.styles) or 'none'}: give --data a dataset of the model's styles",
    )
    require(
        config.fit == dataset.fit,
        f"the model was trained on pictures fitted by {config.fit}, those of {dataset.root} are by {dataset.fit}: "
        f"prepare the dataset with --fit {config.fit}",
    )
