"""Metrics of one of several classes, of rows with weights: see `penstock/weighted_metrics.py`.

With weights of one each the values are those of `penstock/multiclass_metrics.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.weighted_metrics import auc_of, mean_of

if TYPE_CHECKING:
    import numpy as np

    from penstock.weighted_metrics import Statistic

    Average = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def multiclass_statistic(metric: str, label: np.ndarray, score: np.ndarray) -> Statistic:
    """The metric `multiclass_metrics` calls ``metric``, of class numbers (rows,) and probabilities (rows, classes)."""
    import numpy as np

    said = score.argmax(1)
    if metric == "accuracy":
        return mean_of((said == label).astype(np.float64))
    if metric == "log_loss":
        truth = score[np.arange(len(label)), label].astype(np.float64)
        return mean_of(-np.log(np.clip(truth, 1e-15, 1)))
    if metric == "balanced_accuracy":
        return _by_class(label, said, score.shape[1], lambda hits, rows, _: hits / rows)
    if metric == "macro_f1":
        return _by_class(label, said, score.shape[1], lambda hits, rows, called: 2 * hits / (rows + called))
    if metric == "macro_auc":
        return _macro_auc(label, score)
    raise ValueError(f"`{metric}` is no metric of several classes")


def _by_class(label: np.ndarray, said: np.ndarray, classes: int, value: Average) -> Statistic:
    """The mean of ``value`` over the classes that have rows, of the weights of their hits, their rows, their calls."""
    import numpy as np

    right = np.flatnonzero(label == said)

    def mean(weights: np.ndarray) -> np.ndarray:
        values = np.full(len(weights), np.nan)
        for at, drawn in enumerate(weights):
            rows = np.bincount(label, drawn, classes)
            called = np.bincount(said, drawn, classes)
            hits = np.bincount(label[right], drawn[right], classes)
            there = rows > 0
            if there.any():
                values[at] = value(hits[there], rows[there], called[there]).mean()
        return values

    return mean


def _macro_auc(label: np.ndarray, score: np.ndarray) -> Statistic:
    """Each class against the rest; not defined where a draw has but one class."""
    import numpy as np

    numbers = np.unique(label)
    by_class = [auc_of((label == number).astype(np.float64), score[:, number]) for number in numbers]

    def mean(weights: np.ndarray) -> np.ndarray:
        values = np.stack([auc(weights) for auc in by_class])
        defined = np.isfinite(values)
        total = np.where(defined, values, 0).sum(axis=0)
        return np.asarray(
            np.divide(total, defined.sum(axis=0), out=np.full(len(weights), np.nan), where=defined.any(axis=0))
        )

    return mean
