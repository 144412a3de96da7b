"""Metrics of labelled predictions that were served, with intervals, for several classes and for numbers.

Those of binary are in `penstock/live_metrics.py`. Rows are taken for independent, see `penstock/intervals.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.intervals import Measured, mean_interval, wilson

if TYPE_CHECKING:
    import numpy as np

DRAWS = 1000


def measure_classes(label: np.ndarray, decision: np.ndarray, seed: int = 7) -> dict[str, Measured]:
    """accuracy, balanced accuracy and macro F1. ``label``, ``decision``: names of classes (n,).

    Over the classes that have labelled rows. Intervals of the latter two are percentiles of ``DRAWS`` confusion
    matrices, drawn with replacement from the rows (Efron 1979, "Bootstrap methods").
    """
    import numpy as np

    if not len(label):
        return {}
    names, codes = np.unique(np.concatenate([label, decision]), return_inverse=True)
    k, n = len(names), len(label)
    table = np.bincount(codes[:n] * k + codes[n:], minlength=k * k)
    drawn = np.random.default_rng(seed).multinomial(n, table / n, DRAWS).reshape(DRAWS, k, k)
    accuracy = wilson(int((label == decision).sum()), n)
    assert accuracy is not None
    found = {"accuracy": accuracy}
    values, draws = _means_over_classes(table.reshape(1, k, k)), _means_over_classes(drawn)
    for name, value in values.items():
        low, high = np.quantile(draws[name], [0.025, 0.975])
        at = float(value[0])
        found[name] = Measured(
            value=at, low=min(float(low), at), high=max(float(high), at), method=f"bootstrap, {DRAWS} draws"
        )
    return found


def measure_numbers(label: np.ndarray, score: np.ndarray) -> dict[str, Measured]:
    """mae, rmse (the interval of the mean square, rooted) and, where no label is 0, mape. Shapes (n,)."""
    import numpy as np

    error = score.astype(np.float64) - label
    found = {"mae": mean_interval(np.abs(error))}
    square = mean_interval(error**2)
    if square is not None:
        roots = {name: getattr(square, name) ** 0.5 for name in ("value", "low", "high")}
        found["rmse"] = Measured(**roots, method="normal, rooted")
    if len(label) and label.all():
        found["mape"] = mean_interval(np.abs(error / label))
    return {name: measured for name, measured in found.items() if measured is not None}


def _means_over_classes(tables: np.ndarray) -> dict[str, np.ndarray]:
    """balanced accuracy and macro F1 of confusion matrices (tables, classes, classes)."""
    import numpy as np

    hits = np.diagonal(tables, axis1=1, axis2=2)
    rows, called = tables.sum(2), tables.sum(1)
    there = rows > 0
    recall = np.where(there, hits / np.maximum(rows, 1), 0).sum(1) / there.sum(1)
    f1 = np.where(there, 2 * hits / np.maximum(rows + called, 1), 0).sum(1) / there.sum(1)
    return {"balanced_accuracy": recall, "macro_f1": f1}
