"""Intervals hold what they promise, and what a window has too little of decides nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from penstock.alarms import performance_drop
from penstock.intervals import Measured, auc_interval, f1_interval, mean_interval, midranks, wilson
from penstock.label_config import LabelsConfig
from penstock.live_metrics import measure, score_windows
from penstock.metrics import binary_metrics
from penstock.retrain_config import RetrainConfig
from penstock.served import FIXED

NOW = datetime(2024, 3, 1, tzinfo=UTC)


def drawn(rows: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(label, score): scores that are calibrated, with many ties."""
    draws = np.random.default_rng(seed)
    score = np.round(draws.beta(1, 4, rows), 2).astype(np.float32)
    return draws.random(rows) < score, score


def covered(intervals, truth: float) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in intervals]))


def test_the_values_are_those_of_the_evaluation():
    label, score = drawn(3000)
    found, expected = measure(label, score, score >= 0.3), binary_metrics(label, score, np.float32(0.3), 15)
    assert set(found) == {"auc", "accuracy", "precision", "recall", "f1", "log_loss", "brier"}
    for name, one in found.items():
        assert one.value == pytest.approx(expected[name], abs=1e-9), name
        assert one.low < one.value < one.high


def test_midranks_share_ties():
    assert midranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_delongs_interval_is_the_published_variance():
    """The variance by its definition, over all pairs, for a table small enough to write it down."""
    label, score = drawn(60, seed=3)
    positive, negative = score[label], score[~label]
    psi = (positive[:, None] > negative[None, :]) + 0.5 * (positive[:, None] == negative[None, :])
    variance = psi.mean(axis=1).var(ddof=1) / len(positive) + psi.mean(axis=0).var(ddof=1) / len(negative)
    found, auc = auc_interval(label, score), psi.mean()
    assert found.value == pytest.approx(roc_auc_score(label, score))
    odds, half = np.log(auc / (1 - auc)), 1.959964 * np.sqrt(variance) / (auc * (1 - auc))
    assert found.low == pytest.approx(1 / (1 + np.exp(half - odds)))


def test_intervals_leave_out_the_truth_about_once_in_twenty():
    truth = measure(*(pair := drawn(400_000, seed=9)), pair[1] >= 0.3)
    samples = [drawn(400, seed=seed) for seed in range(100, 600)]
    for name, floor in {"auc": 0.925, "accuracy": 0.93, "precision": 0.92, "recall": 0.93, "f1": 0.92}.items():
        share = covered([measure(label, score, score >= 0.3)[name] for label, score in samples], truth[name].value)
        assert floor <= share <= 0.985, (name, share)
    for name in ("log_loss", "brier"):
        share = covered([measure(label, score, score >= 0.3)[name] for label, score in samples], truth[name].value)
        assert 0.91 <= share <= 0.985, (name, share)


def test_a_perfect_order_of_few_rows_is_not_sure():
    label = np.array([True] * 5 + [False] * 50)
    found = auc_interval(label, label.astype(np.float32))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low < 0.6
    turned = auc_interval(~label, label.astype(np.float32))
    assert (turned.value, turned.low) == (0.0, 0.0)


def test_nothing_and_one_class_have_no_auc():
    assert wilson(0, 0) is None and f1_interval(0, 0, 0) is None and mean_interval(np.array([1.0])) is None
    assert "auc" not in measure(np.array([True, True]), np.array([0.1, 0.9]), np.array([False, True]))
    assert (wilson(0, 10).low, wilson(10, 10).high) == (0.0, 1.0)


def window(rows: int, labelled: float, model: str = "m-v1") -> pl.DataFrame:
    label, score = drawn(rows)
    kinds = {name: getattr(pl, kind) for name, kind in FIXED.items()}
    return pl.DataFrame({
        "request_id": [f"{model}{n}" for n in range(rows)],
        "row": 0, "time_ns": int(datetime(2024, 1, 3, tzinfo=UTC).timestamp() * 1e9), "model": model,
        "environment": "production", "score": score, "decision": score >= 0.3,
        "color": ["red" if n < 50 else "blue" for n in range(rows)],
        "label": [bool(one) if n < rows * labelled else None for n, one in enumerate(label)],
        "arrived": 1,
    }, schema_overrides=kinds)  # fmt: skip


def test_a_mature_window_is_final_and_its_small_slices_are_not_measured():
    (found,) = score_windows(window(500, 1.0), LabelsConfig(), ("color",), 100, NOW)
    assert found.final and found.rows == 500
    assert {part.value: bool(part.metrics) for part in found.slices} == {"red": False, "blue": True}


def test_a_window_with_too_few_labels_is_provisional():
    (found,) = score_windows(window(500, 0.5), LabelsConfig(), (), 100, NOW)
    assert not found.final and "auc" in found.metrics and "provisional" in str(found)
    (none,) = score_windows(window(50, 1.0), LabelsConfig(), (), 100, NOW)
    assert none.coverage.mature and not none.final and "too few" in str(none)


def test_releases_are_scored_one_by_one():
    rows = pl.concat([window(300, 1.0), window(300, 1.0, "m-v2")])
    assert [one.model for one in score_windows(rows, LabelsConfig(), (), 100, NOW)] == ["m-v1", "m-v2"]


def measured(low: float, high: float) -> Measured:
    return Measured(value=(low + high) / 2, low=low, high=high, method="")


@pytest.mark.parametrize(
    ("metric", "drop", "low", "high", "alarm"),
    [
        ("auc", "possible", 0.67, 0.73, True),  # held-out 0.7, margin 0.02
        ("auc", "possible", 0.69, 0.71, False),
        ("auc", "sure", 0.67, 0.73, False),
        ("auc", "sure", 0.64, 0.67, True),
        ("log_loss", "possible", 0.68, 0.73, True),
        ("log_loss", "possible", 0.60, 0.71, False),
        ("log_loss", "sure", 0.71, 0.80, False),
        ("log_loss", "sure", 0.73, 0.80, True),
    ],
)
def test_a_drop_is_an_alarm(metric, drop, low, high, alarm):
    config = RetrainConfig(metric=metric, drop=drop)
    assert (performance_drop(metric, measured(low, high), 0.7, True, config) is not None) == alarm
    assert performance_drop(metric, measured(low, high), 0.7, False, config) is None  # provisional decides nothing
    assert (
        performance_drop("auc", None, 0.7, True, config)
        is performance_drop("auc", measured(low, high), None, True, config)
        is None
    )
