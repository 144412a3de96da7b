"""How good scores are: binary classification. Labels are boolean, scores are probabilities of True, both shape (n,)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

CURVE_POINTS = 200


def binary_metrics(label: np.ndarray, score: np.ndarray, threshold: float, bins: int) -> dict[str, float | None]:
    """Every metric of `task_type.BINARY`. What one class alone leaves undefined (AUC, average precision) is None.

    precision, recall and f1 are of True at ``threshold`` (inclusive); 0 where nothing is predicted True.
    """
    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    positives = int(label.sum())
    both = 0 < positives < len(label)
    decided = score >= threshold
    hits = int((decided & label).sum())
    called = int(decided.sum())
    precision = hits / called if called else 0.0
    recall = hits / positives if positives else 0.0
    clipped = np.clip(score.astype(np.float64), 1e-15, 1 - 1e-15)
    truth = label.astype(np.float64)
    return {
        "auc": float(roc_auc_score(label, score)) if both else None,
        "average_precision": float(average_precision_score(label, score)) if both else None,
        "log_loss": float(-np.mean(truth * np.log(clipped) + (1 - truth) * np.log1p(-clipped))),
        "brier": float(np.mean((clipped - truth) ** 2)),
        "accuracy": float(np.mean(decided == label)),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
        "calibration_error": calibration_error(label, score, bins),
    }


def calibration_error(label: np.ndarray, score: np.ndarray, bins: int) -> float:
    """Expected calibration error over bins of equal row count (Naeini et al. 2015; equal mass: Nixon et al. 2019)."""
    table = calibration_table(label, score, bins)
    total = sum(row["rows"] for row in table)
    return float(sum(row["rows"] * abs(row["mean_score"] - row["positive_rate"]) for row in table) / total)


def calibration_table(label: np.ndarray, score: np.ndarray, bins: int) -> list[dict[str, float]]:
    """Rows sorted by score and cut into ``bins`` of equal count: mean score beside the share of True."""
    import numpy as np

    order = np.argsort(score, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [
        {"mean_score": float(score[part].mean()), "positive_rate": float(label[part].mean()), "rows": len(part)}
        for part in parts
    ]


def best_threshold(label: np.ndarray, score: np.ndarray, by: str) -> float:
    """The score at which calling True is best by ``by``: f1, accuracy or youden (recall - false positive rate)."""
    import numpy as np

    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(label[order])
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    called = np.arange(1, len(ranked) + 1)
    positives, negatives = int(label.sum()), int((~label).sum())
    misses = called - hits
    value = {
        "f1": 2 * hits / (called + positives),
        "accuracy": (hits + negatives - misses) / len(ranked),
        "youden": hits / max(positives, 1) - misses / max(negatives, 1),
    }[by]
    return float(ranked[np.argmax(np.where(last_of_tie, value, -np.inf))])


def curves(label: np.ndarray, score: np.ndarray, bins: int) -> dict[str, Any]:
    """ROC and precision-recall, thinned to about CURVE_POINTS points, and the calibration table."""
    import numpy as np
    from sklearn.metrics import precision_recall_curve, roc_curve

    def thin(*columns: np.ndarray) -> list[list[float]]:
        keep = np.unique(np.linspace(0, len(columns[0]) - 1, CURVE_POINTS).astype(int))
        return [[round(float(value), 6) for value in column[keep]] for column in columns]

    roc = {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0]}
    precision_recall: dict[str, list[float]] = {"recall": [], "precision": []}
    if 0 < label.sum() < len(label):
        fpr, tpr, _ = roc_curve(label, score)
        roc["fpr"], roc["tpr"] = thin(fpr, tpr)
        precision, recall, _ = precision_recall_curve(label, score)
        precision_recall["recall"], precision_recall["precision"] = thin(recall[::-1], precision[::-1])
    return {"roc": roc, "pr": precision_recall, "calibration": calibration_table(label, score, bins)}
