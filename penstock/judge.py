"""How the predictions of each task type are measured and written down, behind one interface.

``label`` and ``score`` are arrays of n rows. binary: Boolean and probability of True. multiclass: number of the class
and float32 (n, classes). regression: number and prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from penstock.config import EvaluateConfig
from penstock.task_type import Target

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from penstock.weighted_metrics import Statistic

Metrics = dict[str, float | None]
LAST = "__last__"  # the column of the split files with the last value before each row


class Judge(Protocol):
    """Made by `judge_of`, from rows that are not judged by it."""

    def facts(self) -> dict[str, Any]:
        """What has been decided before any row is judged, such as a threshold."""

    def rows(self, label: np.ndarray) -> dict[str, Any]:
        """What is known of the rows themselves, such as how many are positive."""

    def measure(self, label: np.ndarray, score: np.ndarray) -> Metrics:
        """Every metric of the task type; None for what these rows leave undefined."""

    def curves(self, label: np.ndarray, score: np.ndarray) -> dict[str, Any]:
        """What the report draws."""

    def columns(self, label: np.ndarray, score: np.ndarray) -> dict[str, Any]:
        """The columns of the predictions file."""

    def read(self, predictions: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """(label, score) of a predictions file: what `columns` made its columns of."""

    def statistic(self, metric: str, label: np.ndarray, score: np.ndarray) -> Statistic:
        """One metric of `measure`, of these rows with weights."""

    def naive(self, label: np.ndarray, train: np.ndarray, last: np.ndarray | None) -> dict[str, Metrics]:
        """The metrics of answers that need no model: ``train`` are the training rows' labels, ``last`` the last values
        before the rows, where there are any."""


def judge_of(
    target: Target, classes: tuple[str, ...], evaluate: EvaluateConfig, label: np.ndarray, score: np.ndarray
) -> Judge:
    """The judge of a model by its validation rows. ``classes``: the names of the classes, by number."""
    if target.task == "multiclass":
        return _Multiclass(classes)
    if target.task == "regression":
        return _Regression(target.quantile)
    from penstock.metrics import best_threshold

    return _Binary(best_threshold(label, score, evaluate.threshold_metric), evaluate.calibration_bins)


def judge_from(document: dict[str, Any], evaluate: EvaluateConfig) -> Judge:
    """The judge that measured what ``document`` says: metrics.json, which has its `Judge.facts`."""
    if document["task"] == "multiclass":
        return _Multiclass(tuple(document["classes"]))
    if document["task"] == "regression":
        return _Regression(document.get("quantile"))
    return _Binary(document["threshold"], evaluate.calibration_bins)


@dataclass(frozen=True)
class _Binary:
    threshold: float
    bins: int

    def facts(self) -> dict[str, Any]:
        return {"threshold": self.threshold}

    def rows(self, label: np.ndarray) -> dict[str, Any]:
        return {"positives": int(label.sum())}

    def measure(self, label: np.ndarray, score: np.ndarray) -> Metrics:
        from penstock.metrics import binary_metrics

        return binary_metrics(label, score, self.threshold, self.bins)

    def curves(self, label: np.ndarray, score: np.ndarray) -> dict[str, Any]:
        from penstock.metrics import curves

        return curves(label, score, self.bins)

    def columns(self, label: np.ndarray, score: np.ndarray) -> dict[str, Any]:
        return {"label": label, "score": score}

    def read(self, predictions: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        return predictions["label"].to_numpy(), predictions["score"].to_numpy()

    def statistic(self, metric: str, label: np.ndarray, score: np.ndarray) -> Statistic:
        from penstock.weighted_metrics import binary_statistic

        return binary_statistic(metric, label, score, self.threshold, self.bins)

    def naive(self, label: np.ndarray, train: np.ndarray, last: np.ndarray | None) -> dict[str, Metrics]:
        """majority: the training rows' share of True as every row's probability, and the more frequent answer."""
        import numpy as np

        from penstock.metrics import binary_metrics

        share = np.full(len(label), train.mean())
        return {"majority": binary_metrics(label, share, 0.5, self.bins)}


@dataclass(frozen=True)
class _Multiclass:
    classes: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        return {"classes": list(self.classes)}

    def rows(self, label: np.ndarray) -> dict[str, Any]:
        import numpy as np

        counts = np.bincount(label, minlength=len(self.classes))
        return {"rows_by_class": dict(zip(self.classes, counts.tolist(), strict=True))}

    def measure(self, label: np.ndarray, score: np.ndarray) -> Metrics:
        from penstock.multiclass_metrics import multiclass_metrics

        return multiclass_metrics(label, score)

    def curves(self, label: np.ndarray, score: np.ndarray) -> dict[str, Any]:
        from penstock.multiclass_metrics import by_class, confusion

        return {"confusion": confusion(label, score).tolist(), "by_class": by_class(label, score, self.classes)}

    def columns(self, label: np.ndarray, score: np.ndarray) -> dict[str, Any]:
        import numpy as np
        import polars as pl

        names = np.array(self.classes)
        probabilities = pl.Series(score, dtype=pl.Array(pl.Float32, len(self.classes)))
        return {"label": names[label], "class": names[score.argmax(1)], "probabilities": probabilities}

    def read(self, predictions: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        import polars as pl

        numbers = predictions["label"].replace_strict(self.classes, range(len(self.classes)), return_dtype=pl.Int64)
        return numbers.to_numpy(), predictions["probabilities"].to_numpy()

    def statistic(self, metric: str, label: np.ndarray, score: np.ndarray) -> Statistic:
        from penstock.weighted_multiclass import multiclass_statistic

        return multiclass_statistic(metric, label, score)

    def naive(self, label: np.ndarray, train: np.ndarray, last: np.ndarray | None) -> dict[str, Metrics]:
        """majority: the classes' shares of the training rows as every row's probabilities."""
        import numpy as np

        shares = np.bincount(train, minlength=len(self.classes)) / len(train)
        return {"majority": self.measure(label, np.tile(shares, (len(label), 1)))}


@dataclass(frozen=True)
class _Regression:
    quantile: float | None

    def facts(self) -> dict[str, Any]:
        return {} if self.quantile is None else {"quantile": self.quantile}

    def rows(self, label: np.ndarray) -> dict[str, Any]:
        return {"mean": float(label.mean()), "deviation": float(label.std())} if len(label) else {}

    def measure(self, label: np.ndarray, score: np.ndarray) -> Metrics:
        from penstock.regression_metrics import regression_metrics

        return regression_metrics(label, score, self.quantile)

    def curves(self, label: np.ndarray, score: np.ndarray) -> dict[str, Any]:
        from penstock.regression_metrics import residual_curves

        return residual_curves(label, score)

    def columns(self, label: np.ndarray, score: np.ndarray) -> dict[str, Any]:
        return {"label": label, "prediction": score}

    def read(self, predictions: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        return predictions["label"].to_numpy(), predictions["prediction"].to_numpy()

    def statistic(self, metric: str, label: np.ndarray, score: np.ndarray) -> Statistic:
        from penstock.weighted_regression import regression_statistic

        return regression_statistic(metric, label, score, self.quantile)

    def naive(self, label: np.ndarray, train: np.ndarray, last: np.ndarray | None) -> dict[str, Metrics]:
        """mean (of a quantile: that quantile) of the training labels; and the last value, where rows have a time."""
        import numpy as np

        constant = train.mean() if self.quantile is None else np.quantile(train, self.quantile)
        found = {"mean" if self.quantile is None else "quantile": self.measure(label, np.full(len(label), constant))}
        if last is not None and np.isfinite(last).all():
            found["last value"] = self.measure(label, last)
        return found
