"""Metrics of rows with weights, for many sets of weights at once: what a bootstrap asks for, a thousand times.

A row's weight is how often it was drawn. With weights of one each the values are those of `penstock/metrics.py`. Those
of several classes are in `penstock/weighted_multiclass.py`, those of numbers in `penstock/weighted_regression.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Statistic = Callable[[np.ndarray], np.ndarray]
    """(weights of shape (draws, rows)) -> the metric of each draw, shape (draws,); NaN where it is not defined."""


def binary_statistic(metric: str, label: np.ndarray, score: np.ndarray, threshold: float, bins: int) -> Statistic:
    """The metric `metrics.binary_metrics` calls ``metric``, of these labels and scores, both of shape (rows,)."""
    import numpy as np

    truth, decided = label.astype(np.float64), score >= threshold
    clipped = np.clip(score.astype(np.float64), 1e-15, 1 - 1e-15)
    hits, called = (decided & label).astype(np.float64), decided.astype(np.float64)
    if metric == "auc":
        return auc_of(truth, score)
    if metric == "average_precision":
        return _average_precision(truth, score)
    if metric == "calibration_error":
        return _calibration_error(truth, score, bins)
    if metric == "log_loss":
        return mean_of(-(truth * np.log(clipped) + (1 - truth) * np.log1p(-clipped)))
    if metric == "brier":
        return mean_of((clipped - truth) ** 2)
    if metric == "accuracy":
        return mean_of((decided == label).astype(np.float64))
    if metric == "precision":
        return _share(hits, called)
    if metric == "recall":
        return _share(hits, truth)
    if metric == "f1":
        return _share(2 * hits, called + truth)
    raise ValueError(f"`{metric}` is no metric of binary classification")


def mean_of(values: np.ndarray) -> Statistic:
    """The mean of ``values``, shape (rows,)."""
    return lambda weights: dot(weights, values) / weights.sum(axis=1)


def dot(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``weights @ values`` without BLAS: its threads wait for one another on a busy machine, and its sums depend on
    how many there are."""
    import numpy as np

    return np.asarray(np.einsum("...i,i->...", weights, values))


def _share(part: np.ndarray, whole: np.ndarray) -> Statistic:
    """0 where there is nothing to be a share of, as in `metrics.binary_metrics`."""
    import numpy as np

    def share(weights: np.ndarray) -> np.ndarray:
        total = dot(weights, whole)
        return np.asarray(np.divide(dot(weights, part), total, out=np.zeros(len(weights)), where=total > 0))

    return share


def auc_of(truth: np.ndarray, score: np.ndarray) -> Statistic:
    """The share of (positive, negative) pairs in order, ties by half: the Mann-Whitney statistic."""
    import numpy as np

    positive = np.flatnonzero(truth)
    negative = np.flatnonzero(truth == 0)
    negative = negative[np.argsort(score[negative], kind="stable")]
    below = np.searchsorted(score[negative], score[positive], side="left")
    upto = np.searchsorted(score[negative], score[positive], side="right")
    tied = bool((below != upto).any())

    def auc(weights: np.ndarray) -> np.ndarray:
        values = np.full(len(weights), np.nan)
        for at, drawn in enumerate(weights):  # one at a time stays in the processor's cache: three times as fast
            often = drawn.astype(np.uint16)  # of millions of rows, picked in a third of the time
            mine = often[positive].astype(np.float64)
            others = _sums(often[negative])
            pairs = mine.sum() * others[-1]
            if pairs:
                under = (others[below] + others[upto]) / 2 if tied else others[below]
                values[at] = dot(mine, under) / pairs
        return values

    return auc


def _sums(values: np.ndarray) -> np.ndarray:
    """The sum of the first 0, 1, ... all values, shape (rows + 1,)."""
    import numpy as np

    sums = np.empty(len(values) + 1)
    sums[0] = 0
    np.cumsum(values, out=sums[1:])
    return sums


def _average_precision(truth: np.ndarray, score: np.ndarray) -> Statistic:
    """The mean over positives of the precision where each is called, rows with equal scores called together."""
    import numpy as np

    order = np.argsort(-score, kind="stable")
    positive = np.flatnonzero(truth[order])
    last = np.searchsorted(-score[order], -score[order][positive], side="right") - 1  # of those with equal scores

    def average_precision(weights: np.ndarray) -> np.ndarray:
        values = np.full(len(weights), np.nan)
        for at, drawn in enumerate(weights):
            ranked = drawn[order]
            mine = ranked[positive]
            if mine.any():
                hits = np.zeros(len(ranked))
                hits[positive] = mine
                hits, called = np.cumsum(hits)[last], np.cumsum(ranked)[last]
                precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
                values[at] = dot(mine, precision) / mine.sum()
        return values

    return average_precision


def _calibration_error(truth: np.ndarray, score: np.ndarray, bins: int) -> Statistic:
    import numpy as np

    order = np.argsort(score, kind="stable")
    gap = score[order].astype(np.float64) - truth[order]

    def error(weights: np.ndarray) -> np.ndarray:
        values = np.empty(len(weights))
        for at, one in enumerate(weights):
            mine = one[order]
            drawn = _sums(mine)
            total = round(drawn[-1])
            width, wider = divmod(total, bins)  # the first bins have one row more, as `np.array_split` has it
            edges = np.concatenate([[0], np.cumsum([width + (which < wider) for which in range(bins)])])
            mine *= gap
            upto = np.minimum(np.searchsorted(drawn[1:], edges, side="left"), len(mine) - 1)
            between = np.where(np.diff(upto) > 0, np.add.reduceat(mine, upto)[:-1], 0)  # of no rows it gives the next
            inside = _sums(between) + (edges - drawn[upto]) * gap[upto]  # a row drawn often may lie in two bins
            values[at] = np.abs(np.diff(inside)).sum() / total if total else np.nan
        return values

    return error
