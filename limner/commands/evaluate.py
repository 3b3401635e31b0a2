"""`limner evaluate`: metrics of a generator on a dataset, next to baselines."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from limner.core.runs import find_model
from limner.core.util.cli import parse
from limner.core.util.log import log
from limner.data_pipeline.index import load_dataset
from limner.deploy.evaluation.report import HTML, check_output, show_report, write_report
from limner.deploy.load import load


@dataclass(frozen=True)
class Options:
    """Compare the output of a generator with real images, next to baselines."""

    data: Path
    """A prepared dataset."""
    model: Annotated[str | None, tyro.conf.arg(metavar="DIR_OR_NAME")] = None
    """A model bundle, a run or an engine; left out: the newest run's."""
    split: Annotated[str | None, tyro.conf.arg(metavar="train|val|test")] = None
    """Left out: for sketches test, else val, else train; for portraits from noise train."""
    out: Path = Path("eval")
    """The folder for metrics.json, report.md, report.html and sheet.png, which are replaced."""
    metrics: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """For sketches, of l1, psnr_db, ssim, lpips_alex, dists, fsim, scoot; left out: all but dists, which is slow."""
    inception: Annotated[str | None, tyro.conf.arg(metavar="FILE|download")] = None
    """Inception's weights, for FID, KID, precision and recall of portraits; left out: those in the user's cache."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate, print the tables and write the report; arguments: None: those of this process."""
    options = parse(Options, arguments, prog="limner evaluate")
    check_output(options.out)
    from limner.deploy.evaluation.evaluate import evaluate  # imports torch, which --help works without

    with load(find_model(options.model)) as model:
        report = evaluate(model, load_dataset(options.data), options.split, options.inception, options.metrics)
    write_report(options.out, report)
    show_report(report)
    log.info(f"report: {options.out / HTML}")
