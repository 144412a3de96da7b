"""Metrics against scikit-learn, and against answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from penstock.metrics import best_threshold, binary_metrics, calibration_error, curves


def sample(n: int = 4000, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    score = generator.uniform(size=n).astype(np.float32)
    return generator.uniform(size=n) < score, score


def test_every_metric_is_scikit_learns() -> None:
    label, score = sample()
    found = binary_metrics(label, score, 0.5, 10)
    called = score >= 0.5
    expected = {
        "auc": reference.roc_auc_score(label, score),
        "average_precision": reference.average_precision_score(label, score),
        "log_loss": reference.log_loss(label, score.astype(float)),
        "brier": reference.brier_score_loss(label, score.astype(float)),
        "accuracy": reference.accuracy_score(label, called),
        "precision": reference.precision_score(label, called),
        "recall": reference.recall_score(label, called),
        "f1": reference.f1_score(label, called),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_one_class_leaves_ranking_undefined_and_nothing_raises() -> None:
    found = binary_metrics(np.zeros(50, bool), np.linspace(0, 1, 50), 2.0, 5)
    assert found["auc"] is None and found["average_precision"] is None
    assert found["precision"] == found["recall"] == found["f1"] == 0


def test_calibration_error_is_zero_only_for_calibrated_scores() -> None:
    label, score = sample(100_000)
    assert calibration_error(label, score, 10) < 0.01
    assert calibration_error(label, np.clip(score + 0.2, 0, 1), 10) > 0.1
    assert calibration_error(np.array([True, True]), np.array([0.75, 0.75]), 1) == pytest.approx(0.25)


@pytest.mark.parametrize("by", ["f1", "accuracy", "youden"])
def test_the_threshold_is_the_best_of_all(by: str) -> None:
    label, score = sample(300)
    score = np.round(score, 2)  # ties

    def value(threshold: float) -> float:
        called = score >= threshold
        if by == "f1":
            return float(reference.f1_score(label, called))
        if by == "accuracy":
            return float(reference.accuracy_score(label, called))
        return float(called[label].mean() - called[~label].mean())

    assert value(best_threshold(label, score, by)) == pytest.approx(
        max(value(threshold) for threshold in np.unique(score))
    )


def test_curves_keep_their_ends_and_their_area() -> None:
    label, score = sample(20_000)
    found = curves(label, score, 10)
    fpr, tpr = found["roc"]["fpr"], found["roc"]["tpr"]
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1) and len(fpr) <= 200
    assert np.trapezoid(tpr, fpr) == pytest.approx(reference.roc_auc_score(label, score), abs=2e-3)
    assert sum(row["rows"] for row in found["calibration"]) == 20_000


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40))
def test_metrics_are_in_range_whatever_the_scores(rows: list[tuple[bool, float]]) -> None:
    label = np.array([row[0] for row in rows])
    score = np.array([row[1] for row in rows])
    found = binary_metrics(label, score, best_threshold(label, score, "f1"), 5)
    for name, value in found.items():
        assert value is None or (0 <= value <= (40 if name == "log_loss" else 1 + 1e-12)), (name, value)
