"""How good predictions of one of several classes are. ``label``: class numbers (n,); ``score``: float32 (n, classes),
the probability of each class in their order. A class that no row has is left out of what is averaged over classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def multiclass_metrics(label: np.ndarray, score: np.ndarray) -> dict[str, float | None]:
    """Every metric of `task_type.MULTICLASS`.

    macro: the mean over the classes that have rows, however many. f1 of a class is 0 where it is never predicted
    rightly. macro_auc: each class against the rest; None where there is but one class. log_loss: no probability counts
    as less than 1e-15.
    """
    import numpy as np
    from sklearn.metrics import roc_auc_score

    table = confusion(label, score)
    hits, rows = np.diag(table), table.sum(1)
    there = np.flatnonzero(rows)
    aucs = [roc_auc_score(label == number, score[:, number]) for number in there] if len(there) > 1 else []
    truth = score[np.arange(len(label)), label].astype(np.float64)
    return {
        "accuracy": float(hits.sum() / len(label)),
        "balanced_accuracy": float((hits[there] / rows[there]).mean()),
        "macro_f1": _macro_f1(table),
        "macro_auc": float(np.mean(aucs)) if aucs else None,
        "log_loss": float(-np.log(np.clip(truth, 1e-15, 1)).mean()),
    }


def macro_f1(label: np.ndarray, score: np.ndarray) -> float:
    """That metric alone."""
    return _macro_f1(confusion(label, score))


def _macro_f1(table: np.ndarray) -> float:
    import numpy as np

    hits, rows, called = np.diag(table), table.sum(1), table.sum(0)
    there = np.flatnonzero(rows)
    return float((2 * hits[there] / (rows[there] + called[there])).mean())


def confusion(label: np.ndarray, score: np.ndarray) -> np.ndarray:
    """How many rows of each class (down) were predicted as each (across): integers (classes, classes)."""
    import numpy as np

    classes = score.shape[1]
    return np.bincount(label * classes + score.argmax(1), minlength=classes * classes).reshape(classes, classes)


def by_class(label: np.ndarray, score: np.ndarray, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows, precision, recall and F1 of each class; None where there is nothing to divide by."""
    table = confusion(label, score)
    return [
        {
            "class": name,
            "rows": int(table[number].sum()),
            "precision": _share(int(table[number, number]), int(table[:, number].sum())),
            "recall": _share(int(table[number, number]), int(table[number].sum())),
            "f1": _share(2 * int(table[number, number]), int(table[number].sum() + table[:, number].sum())),
        }
        for number, name in enumerate(classes)
    ]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
