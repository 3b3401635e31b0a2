import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import limner.deploy.evaluation.pairs
from limner.core.batch import to_images
from limner.core.bundle import BundleConfig, load_generator, save_bundle
from limner.core.config import Fit
from limner.core.images import Uint8Image
from limner.core.metrics.paired import PairScores, mean_scores, score_pair
from limner.core.networks.config import UNetConfig
from limner.core.util.errors import UserError
from limner.data_pipeline.images import resize
from limner.data_pipeline.index import load_dataset, write_dataset
from limner.data_pipeline.reference import read_dataset_image, read_pairs
from limner.deploy.evaluation.pairs import GENERATOR, Case, PairEvaluator

CPU = torch.device("cpu")
MakeModel = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """A bundle with random weights for 64 pixels."""

    def make(styles: tuple[str, ...] = (), fit: Fit = "stretch") -> Path:
        torch.manual_seed(0)
        config = BundleConfig("pix2pix", 64, fit, styles, UNetConfig(width=4, depth=4, styles=len(styles)))
        save_bundle(tmp_path / "model", config.build(), config)
        return tmp_path / "model"

    return make


def judged(evaluator: PairEvaluator) -> list[Case]:
    return [evaluator.judge(record) for record in evaluator.records]


def test_the_generator_is_scored_as_it_draws(tiny_data: Path, make_model: MakeModel) -> None:
    """Against the whole split in one batch, styles passed on, by the same scores."""
    styles = load_dataset(tiny_data).styles
    assert len(styles) > 1
    model = make_model(styles)
    evaluator = PairEvaluator(model, tiny_data, "train", CPU)
    (batch,) = read_pairs(tiny_data, evaluator.records, 64, batch_size=100)
    assert batch.sketch is not None
    drawn, real = to_images(load_generator(model)(batch.photo, batch.style)), to_images(batch.sketch)
    for case, ours, theirs in zip(judged(evaluator), drawn, real, strict=True):
        expected = dataclasses.astuple(score_pair(ours, theirs))
        assert dataclasses.astuple(case.scores[GENERATOR]) == pytest.approx(expected, rel=1e-3)  # one grey level


def test_a_perfect_generator_scores_perfectly(tiny_data: Path, make_model: MakeModel) -> None:
    evaluator = PairEvaluator(make_model(), tiny_data, "val", CPU)
    (batch,) = read_pairs(tiny_data, evaluator.records, 64, batch_size=100)
    assert batch.sketch is not None
    answers = {photo.numpy().tobytes(): sketch for photo, sketch in zip(batch.photo, batch.sketch, strict=True)}
    evaluator.generator.forward = lambda photo, style: answers[photo[0].numpy().tobytes()][None]
    report = evaluator.report(judged(evaluator))
    assert report.metrics["scores"][GENERATOR] == {"l1": 0.0, "psnr_db": float("inf"), "ssim": 1.0}
    assert report.tables[0].rows[0] == (GENERATOR, "0.0000", "inf", "1.0000")


def test_baselines_are_what_they_are_called(tiny_data: Path, make_model: MakeModel) -> None:
    evaluator = PairEvaluator(make_model(), tiny_data, "val", CPU)

    def sketches(split: str) -> list[Uint8Image]:
        records = evaluator.dataset.split(split)
        return [resize(read_dataset_image(tiny_data, str(row.sketch)), 64, 64) for row in records]

    mean = np.rint(np.mean([sketch.astype(float) for sketch in sketches("train")], axis=0))
    assert evaluator.mean_sketch is not None
    assert np.abs(evaluator.mean_sketch - mean).max() <= 1  # halves
    real = sketches("val")[0]
    photo = resize(read_dataset_image(tiny_data, evaluator.records[0].photo), 64, 64)
    scores = evaluator.judge(evaluator.records[0]).scores
    assert list(scores) == [GENERATOR, "mean training sketch", "grey photo", "blank page"]
    assert scores["blank page"].l1 == pytest.approx(1 - real.mean() / 255)
    assert scores["mean training sketch"] == score_pair(evaluator.mean_sketch, real)
    grey = np.rint(photo @ [0.299, 0.587, 0.114])[..., None].repeat(3, axis=2)
    assert scores["grey photo"] == score_pair(grey, real)


def test_the_report_adds_up(tiny_data: Path, make_model: MakeModel) -> None:
    evaluator = PairEvaluator(make_model(), tiny_data, "train", CPU)
    cases = judged(evaluator)
    report = evaluator.report(cases)
    metrics = json.loads(json.dumps(report.metrics))
    assert list(metrics["cases"]) == [record.id for record in evaluator.records]
    everything = mean_scores(PairScores(**scores) for scores in metrics["cases"].values())
    assert metrics["scores"][GENERATOR] == dataclasses.asdict(everything)
    styles = evaluator.dataset.styles
    counts = {name: sum(row.style == number for row in evaluator.records) for number, name in enumerate(styles)}
    assert {table.title for table in report.tables} == {
        f"{name} ({count} pairs)" for name, count in {"all": 11, **counts}.items() if count
    }
    weighted = sum(counts[name] * metrics["styles"][name][GENERATOR]["l1"] for name in metrics["styles"])
    assert weighted / 11 == pytest.approx(everything.l1)
    assert {row[0] for table in report.tables for row in table.rows} == set(metrics["scores"])


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, ["best 1"]),
        (3, ["best 1", "best 2", "worst 1"]),
        (11, [f"{r} {n}" for r in ("best", "worst") for n in "1234"]),
    ],
)
def test_the_sheet_shows_the_best_and_the_worst_once(
    count: int, expected: list[str], tiny_data: Path, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def sheet(columns: Mapping[str, Sequence[Uint8Image]], captions: Sequence[str]) -> None:
        assert {name: len(pictures) for name, pictures in columns.items()} == dict.fromkeys(
            ("photo", "generated", "real"), len(captions)
        )
        shown.extend(captions)

    monkeypatch.setattr(limner.deploy.evaluation.pairs, "comparison_sheet", sheet)
    evaluator = PairEvaluator(make_model(), tiny_data, "train", CPU)
    order = np.random.default_rng(0).permutation(count)
    cases = [
        Case(record, {GENERATOR: PairScores(0.1, 10.0, float(place) / count)})
        for record, place in zip(evaluator.records, order, strict=False)
    ]
    evaluator.sheet(cases)
    assert [caption.split(":")[0] for caption in shown] == expected
    ids = [caption.rsplit(", ", 1)[1] for caption in shown]
    ranked = [case.record.id for case in sorted(cases, key=lambda case: case.scores[GENERATOR].ssim)]
    best = [name for name, label in zip(ids, expected, strict=True) if label.startswith("best")]
    assert best == ranked[::-1][: len(best)]
    assert ids[len(best) :] == ranked[: len(ids) - len(best)]


def test_a_dataset_without_training_sketches_lacks_that_baseline(
    tiny_data: Path, make_model: MakeModel, tmp_path: Path
) -> None:
    only_test = change_dataset(tiny_data, tmp_path / "data", drop=("train", "val"))
    evaluator = PairEvaluator(make_model(), only_test, "test", CPU)
    assert list(judged(evaluator)[0].scores) == [GENERATOR, "grey photo", "blank page"]


def test_what_does_not_go_together_is_refused(tiny_data: Path, make_model: MakeModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no images in split 'tset'; it has train \(11\), val \(2\), test \(1\)"):
        PairEvaluator(make_model(), tiny_data, "tset", CPU)
    with pytest.raises(
        UserError, match=r"trained on styles ink, chalk, .* has .*: give --data a dataset of the model's"
    ):
        PairEvaluator(make_model(("ink", "chalk")), tiny_data, "test", CPU)
    with pytest.raises(
        UserError, match=r"fitted by pad, those of .* are by stretch: prepare the dataset with --fit pad"
    ):
        PairEvaluator(make_model(fit="pad"), tiny_data, "test", CPU)
    unpaired = change_dataset(tiny_data, tmp_path / "unpaired", paired=False)
    with pytest.raises(UserError, match=r"unpaired: 1 of 1 photos have no sketch: give --data a paired dataset"):
        PairEvaluator(make_model(), unpaired, "test", CPU)


def change_dataset(source: Path, out: Path, drop: Sequence[str] = (), paired: bool = True) -> Path:
    """The dataset with empty splits, or without sketches."""
    dataset = load_dataset(source)
    splits = {
        split: [row if paired else dataclasses.replace(row, sketch=None) for row in rows if split not in drop]
        for split, rows in dataset.splits.items()
    }
    for name in {name for rows in splits.values() for row in rows for name in row.files}:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes((source / name).read_bytes())
    fields = ("name", "source", "licence", "size", "fit", "styles", "preparation")
    write_dataset(out, {name: getattr(dataset, name) for name in fields}, splits, [])
    return out
