import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import limner.deploy.evaluation.pairs
from limner.core.batch import to_images
from limner.core.bundle import BundleConfig, bundle_hash, load_generator, save_bundle
from limner.core.config import Fit
from limner.core.images import Uint8Image
from limner.core.metrics.paired import mean_scores, score_pair
from limner.core.networks.config import UNetConfig
from limner.core.util.errors import UserError
from limner.core.util.text import count_of
from limner.data_pipeline.images import resize
from limner.data_pipeline.index import load_dataset, write_dataset
from limner.data_pipeline.reference import read_dataset_image, read_pairs
from limner.deploy.evaluation.pairs import GENERATOR, PairEvaluator, ScoredPair
from limner.deploy.load import load
from limner.deploy.translation import Translator

MakeEvaluator = Callable[..., PairEvaluator]


def make_model(directory: Path, styles: tuple[str, ...] = (), fit: Fit = "stretch") -> Translator:
    """A translator of 64 pixels with random weights."""
    torch.manual_seed(0)
    config = BundleConfig("pix2pix", 64, fit, styles, UNetConfig(width=4, depth=4, styles=len(styles)))
    save_bundle(directory, config.build(), config)
    translator = load(directory, device="cpu")
    assert isinstance(translator, Translator)
    return translator


@pytest.fixture
def make_evaluator(tmp_path: Path, tiny_data: Path) -> MakeEvaluator:
    """An evaluator of such a translator."""

    def make(split: str | None = "val", data: Path = tiny_data, **model: Any) -> PairEvaluator:
        return PairEvaluator(make_model(tmp_path / "model", **model), load_dataset(data), split)

    return make


def scored(evaluator: PairEvaluator) -> list[ScoredPair]:
    return [evaluator.score(record) for record in evaluator.records]


def test_the_generator_is_scored_as_it_generates(tiny_data: Path, make_evaluator: MakeEvaluator) -> None:
    """Against the whole split in one batch, styles passed on, by the same scores."""
    styles = load_dataset(tiny_data).styles
    assert len(styles) > 1
    evaluator = make_evaluator("train", styles=styles)
    (batch,) = read_pairs(tiny_data, evaluator.records, 64, batch_size=100)
    assert batch.sketch is not None
    generator = load_generator(evaluator.translator.name)
    generated, real = to_images(generator(batch.photo, batch.style)), to_images(batch.sketch)
    for pair, image, sketch in zip(scored(evaluator), generated, real, strict=True):
        assert pair.scores[GENERATOR] == pytest.approx(score_pair(image, sketch), rel=1e-3)  # one grey level


def test_a_perfect_generator_scores_perfectly(
    tiny_data: Path, make_evaluator: MakeEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = make_evaluator()
    (batch,) = read_pairs(tiny_data, evaluator.records, 64, batch_size=100)
    assert batch.sketch is not None
    photos, sketches = to_images(batch.photo), to_images(batch.sketch)
    answers = {photo.tobytes(): sketch for photo, sketch in zip(photos, sketches, strict=True)}

    def infer(batch: Any, style: Any) -> Any:
        return np.stack([answers[photo.tobytes()] for photo in batch])

    monkeypatch.setattr(evaluator.translator.engine, "infer", infer)
    report = evaluator.run()
    assert report.metrics["scores"][GENERATOR] == {"l1": 0.0, "psnr_db": float("inf"), "ssim": 1.0}
    assert report.tables[0].rows[0] == (GENERATOR, "0.0000 ±.0000", "inf", "1.0000 ±.0000")


def test_baselines_are_what_they_are_called(tiny_data: Path, make_evaluator: MakeEvaluator) -> None:
    evaluator = make_evaluator()

    def sketches(split: str) -> list[Uint8Image]:
        records = evaluator.dataset.split(split)
        return [resize(read_dataset_image(tiny_data, str(row.sketch)), 64, 64) for row in records]

    mean = np.rint(np.mean([sketch.astype(float) for sketch in sketches("train")], axis=0))
    assert evaluator.mean_sketch is not None
    assert np.abs(evaluator.mean_sketch - mean).max() <= 1  # halves
    real = sketches("val")[0]
    photo = resize(read_dataset_image(tiny_data, evaluator.records[0].photo), 64, 64)
    scores = evaluator.score(evaluator.records[0]).scores
    assert list(scores) == [GENERATOR, "mean training sketch", "grey photo", "blank page"]
    assert scores["blank page"]["l1"] == pytest.approx(1 - real.mean() / 255)
    assert scores["mean training sketch"] == score_pair(evaluator.mean_sketch, real)
    grey = np.rint(photo @ [0.299, 0.587, 0.114])[..., None].repeat(3, axis=2)
    assert scores["grey photo"] == score_pair(grey, real)


def test_the_report_adds_up(make_evaluator: MakeEvaluator) -> None:
    evaluator = make_evaluator("train")
    report = evaluator.run()
    assert report.facts["model_sha256"] == bundle_hash(evaluator.translator.name)
    metrics = json.loads(json.dumps(report.metrics))
    assert list(metrics["cases"]) == [record.id for record in evaluator.records]
    everything = mean_scores(metrics["cases"].values())
    assert metrics["scores"][GENERATOR] == everything
    styles = evaluator.dataset.styles
    counts = {name: sum(row.style == number for row in evaluator.records) for number, name in enumerate(styles)}
    assert {table.title for table in report.tables} == {
        f"{name} ({count_of(count, 'pair')})" for name, count in {"all": 11, **counts}.items() if count
    }
    weighted = sum(counts[name] * metrics["styles"][name][GENERATOR]["l1"] for name in metrics["styles"])
    assert weighted / 11 == pytest.approx(everything["l1"])
    methods = {row[0] for table in report.tables for row in table.rows}
    assert methods == set(metrics["scores"])
    titles = {title for table in report.tables for title in table.columns} | methods
    assert titles - set(report.definitions) == {"method", GENERATOR}


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, ["best 1"]),
        (3, ["best 1", "best 2", "worst 1"]),
        (11, [f"{r} {n}" for r in ("best", "worst") for n in "1234"]),
    ],
)
def test_the_grid_shows_the_best_and_the_worst_once(
    count: int, expected: list[str], make_evaluator: MakeEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def grid(columns: Mapping[str, Sequence[Uint8Image]], captions: Sequence[str]) -> None:
        assert {name: len(images) for name, images in columns.items()} == dict.fromkeys(
            ("photo", "generated", "real"), len(captions)
        )
        shown.extend(captions)

    monkeypatch.setattr(limner.deploy.evaluation.pairs, "comparison_grid", grid)
    evaluator = make_evaluator("train")
    order = np.random.default_rng(0).permutation(count)
    pairs = [
        ScoredPair(record, {GENERATOR: {"l1": 0.1, "psnr_db": 10.0, "ssim": float(place) / count}})
        for record, place in zip(evaluator.records, order, strict=False)
    ]
    evaluator.grid(pairs)
    assert [caption.split(":")[0] for caption in shown] == expected
    ids = [caption.split(": ")[1].split(", ")[0] for caption in shown]
    ranked = [pair.record.id for pair in sorted(pairs, key=lambda pair: pair.scores[GENERATOR]["ssim"])]
    best = [name for name, label in zip(ids, expected, strict=True) if label.startswith("best")]
    assert best == ranked[::-1][: len(best)]
    assert ids[len(best) :] == ranked[: len(ids) - len(best)]


def test_a_dataset_without_training_sketches_lacks_that_baseline(
    tiny_data: Path, make_evaluator: MakeEvaluator, tmp_path: Path
) -> None:
    only_test = change_dataset(tiny_data, tmp_path / "data", drop=("train", "val"))
    report = make_evaluator("test", data=only_test).run()
    assert list(report.metrics["scores"]) == [GENERATOR, "grey photo", "blank page"]
    assert "mean training sketch" not in report.definitions


def test_the_split_is_test_or_else_val_or_else_train_which_is_logged(
    tiny_data: Path, make_evaluator: MakeEvaluator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "limner")
    assert make_evaluator(None).split == "test"
    assert not caplog.messages
    for drop, split in ((("test",), "val"), (("test", "val"), "train")):
        data = change_dataset(tiny_data, tmp_path / split, drop)
        assert make_evaluator(None, data=data).split == split
        assert caplog.messages.pop() == f"--split {split} ({data} has no test split)"


def test_what_does_not_go_together_is_refused(tiny_data: Path, make_evaluator: MakeEvaluator, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no images in split 'tset'; it has train \(11\), val \(2\), test \(1\)"):
        make_evaluator("tset")
    with pytest.raises(
        UserError, match=r"trained on styles ink, chalk, .* has .*: give --data a dataset of the model's"
    ):
        make_evaluator("test", styles=("ink", "chalk"))
    with pytest.raises(
        UserError, match=r"images fitted by pad, those of .* are by stretch: prepare the dataset with --fit pad"
    ):
        make_evaluator("test", fit="pad")
    unpaired = change_dataset(tiny_data, tmp_path / "unpaired", paired=False)
    with pytest.raises(UserError, match=r"unpaired: photos without a sketch: 1 of 1; give --data a paired dataset"):
        make_evaluator("test", data=unpaired)


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
