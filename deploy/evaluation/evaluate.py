"""One way to evaluate whatever a model is: what goes into its generator decides which evaluation runs."""

from collections.abc import Sequence

from limner.core.config import require
from limner.core.metrics.inception import find_inception
from limner.core.metrics.perceptual import choose_metrics
from limner.data_pipeline.index import Dataset
from limner.deploy.evaluation.pairs import PairEvaluator
from limner.deploy.evaluation.portraits import evaluate_portraits
from limner.deploy.evaluation.report import Report
from limner.deploy.sampling import Sampler
from limner.deploy.translation import Translator


def evaluate(
    model: Translator | Sampler,
    dataset: Dataset,
    split: str | None,
    inception: str | None,
    metrics: Sequence[str] = (),
) -> Report:
    """Evaluate a translator on pairs, a sampler against real portraits.

    split: None: for a translator test, or else val, or else train; for a sampler train, whose images it imitates.
    metrics: keys of pair metrics; empty: see `choose_metrics`.
    inception: see core.metrics.inception.find_inception; a translator takes none. Raises UserError for wrong input.
    """
    if isinstance(model, Sampler):
        require(not metrics, "metrics: portraits from noise are compared as a set; leave it out")
        return evaluate_portraits(model, dataset, split or "train", find_inception(inception))
    require(inception is None, "inception: sketches are compared pair by pair, without it; leave it out")
    return PairEvaluator(model, dataset, split, choose_metrics(metrics)).run()
