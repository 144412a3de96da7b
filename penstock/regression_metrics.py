"""How good predictions of a number are. ``label`` and ``score``, the prediction, have shape (n,)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

POINTS = 600  # that are drawn of all rows


def regression_metrics(label: np.ndarray, score: np.ndarray, quantile: float | None) -> dict[str, float | None]:
    """Every metric of `task_type.REGRESSION`.

    r2: None where the label does not vary. mape: None where any label is 0, because no share of nothing can be told;
    near 0 it says more about the smallest labels than about the model. pinball: of ``quantile`` (Koenker & Bassett
    1978, "Regression quantiles"); None where none is predicted.
    """
    import numpy as np

    truth = label.astype(np.float64)
    error = score.astype(np.float64) - truth
    spread = float(((truth - truth.mean()) ** 2).mean())
    square = float((error**2).mean())
    return {
        "rmse": square**0.5,
        "mae": float(np.abs(error).mean()),
        "r2": 1 - square / spread if spread else None,
        "mape": float(np.abs(error / truth).mean()) if truth.all() else None,
        "pinball": None if quantile is None else float(np.maximum(-quantile * error, (1 - quantile) * error).mean()),
    }


def residual_curves(label: np.ndarray, score: np.ndarray, bins: int = 40) -> dict[str, Any]:
    """What is drawn: points of label and prediction, evenly among the rows, and a histogram of prediction - label."""
    import numpy as np

    keep = np.unique(np.linspace(0, len(label) - 1, POINTS).astype(int))
    residual = score.astype(np.float64) - label
    low, high = np.quantile(residual, [0.005, 0.995])  # a few wild rows would leave one bar
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(residual, bins, (low, high))
    return {
        "points": {"label": _rounded(label[keep]), "prediction": _rounded(score[keep])},
        "residuals": {"edges": _rounded(edges), "rows": counts.tolist(), "outside": int(len(residual) - counts.sum())},
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{float(value):.6g}") for value in values]
