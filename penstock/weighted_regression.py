"""Metrics of a number, of rows with weights: see `penstock/weighted_metrics.py`.

With weights of one each the values are those of `penstock/regression_metrics.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.weighted_metrics import mean_of

if TYPE_CHECKING:
    import numpy as np

    from penstock.weighted_metrics import Statistic

CONSTANT = 1e-12  # of all rows' variance: a draw with less has one label only, and the rest is rounding


def regression_statistic(metric: str, label: np.ndarray, score: np.ndarray, quantile: float | None) -> Statistic:
    """The metric `regression_metrics` calls ``metric``, of labels and predictions, both of shape (rows,)."""
    import numpy as np

    truth = label.astype(np.float64)
    error = score.astype(np.float64) - truth
    if metric == "rmse":
        square = mean_of(error**2)
        return lambda weights: np.sqrt(square(weights))
    if metric == "mae":
        return mean_of(np.abs(error))
    if metric == "r2":
        return _r2(truth, error)
    if metric == "mape":
        return mean_of(np.abs(error / truth)) if truth.all() else lambda weights: np.full(len(weights), np.nan)
    if metric == "pinball" and quantile is not None:
        return mean_of(np.maximum(-quantile * error, (1 - quantile) * error))
    raise ValueError(f"`{metric}` is no metric of this regression")


def _r2(truth: np.ndarray, error: np.ndarray) -> Statistic:
    import numpy as np

    away = truth - truth.mean()
    square, first, second = mean_of(error**2), mean_of(away), mean_of(away**2)
    least = CONSTANT * float((away**2).mean())

    def r2(weights: np.ndarray) -> np.ndarray:
        spread = second(weights) - first(weights) ** 2
        share = np.divide(square(weights), spread, out=np.full(len(weights), np.nan), where=spread > least)
        return np.asarray(1 - share)

    return r2
