"""Measure a trained generator: `python scripts/evaluate.py --model runs/fs2k/model --data data/fs2k --out eval/`."""

from dataclasses import dataclass
from pathlib import Path

import torch

from limner.core.bundle import load_bundle_config
from limner.core.config import require
from limner.core.metrics.inception import find_inception
from limner.core.runs import find_model
from limner.core.util.cli import parse
from limner.core.util.errors import run_command
from limner.core.util.progress import track
from limner.deploy.evaluation.pairs import PairEvaluator
from limner.deploy.evaluation.portraits import evaluate_portraits
from limner.deploy.evaluation.report import HTML, Report, check_output, show_report, write_report


@dataclass(frozen=True)
class Command:
    """Compare what a generator draws with what is real, beside trivial baselines."""

    data: Path
    """A prepared dataset."""
    model: str = ""
    """The model bundle; left out: that of the newest run."""
    split: str = ""
    """The part of the dataset: train, val or test; left out: test for pairs, train for portraits from noise."""
    out: Path = Path("eval")
    """Where metrics.json, report.md, report.html and sheet.png go; those of an earlier evaluation are replaced."""
    inception: str = ""
    """For portraits, FID and its kin: the file of Inception's weights, or "download"; left out: the user's cache."""


def main() -> None:
    """Evaluate, show the figures and write the report."""
    command = parse(Command)
    check_output(command.out)
    model = find_model(command.model)
    pairs = load_bundle_config(model).task == "pix2pix"
    report = evaluate_pairs(model, command) if pairs else evaluate_noise(model, command)
    write_report(command.out, report)
    show_report(report)
    print(f"look at {command.out / HTML}")


def evaluate_pairs(model: Path, command: Command) -> Report:
    """A pix2pix bundle on every pair of a split."""
    require(not command.inception, "inception: sketches are compared pair by pair, without it; leave it out")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    evaluator = PairEvaluator(model, command.data, command.split or "test", device)
    records = evaluator.records
    return evaluator.report([evaluator.judge(record) for record in track(records, len(records), "evaluating")])


def evaluate_noise(model: Path, command: Command) -> Report:
    """A DCGAN bundle against the portraits of a split."""
    weights = find_inception(command.inception)
    return evaluate_portraits(model, command.data, command.split or "train", weights, track)


if __name__ == "__main__":
    run_command(main)
