"""Measure a trained generator: `python scripts/evaluate.py --model runs/fs2k/model --data data/fs2k --out eval/`."""

from dataclasses import dataclass
from pathlib import Path

import torch

from core.bundle import load_bundle_config
from core.cli import parse
from core.config import require
from core.errors import run_command
from core.runs import find_model
from data_pipeline.importers.report import track
from deploy.evaluation import PairEvaluator
from deploy.report import HTML, Report, check_output, show_report, write_report


@dataclass(frozen=True)
class Command:
    """Compare what a generator draws with what is real, beside trivial baselines."""

    data: Path
    """A prepared dataset."""
    model: str = ""
    """The model bundle; left out: that of the newest run."""
    split: str = "test"
    """The part of the dataset: train, val or test."""
    out: Path = Path("eval")
    """Where metrics.json, report.md, report.html and sheet.png go; those of an earlier evaluation are replaced."""


def main() -> None:
    """Evaluate, show the figures and write the report."""
    command = parse(Command)
    check_output(command.out)
    model = find_model(command.model)
    task = load_bundle_config(model).task
    require(task == "pix2pix", f"{model}: no evaluation of task {task}, give a bundle of task pix2pix")
    report = evaluate_pairs(model, command)
    write_report(command.out, report)
    show_report(report)
    print(f"look at {command.out / HTML}")


def evaluate_pairs(model: Path, command: Command) -> Report:
    """A pix2pix bundle on every pair of a split."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    evaluator = PairEvaluator(model, command.data, command.split, device)
    records = evaluator.records
    return evaluator.report([evaluator.judge(record) for record in track(records, len(records), "evaluating")])


if __name__ == "__main__":
    run_command(main)
