"""Live metrics of several classes and of numbers: the values, and how often the intervals hold."""

from __future__ import annotations

import datetime

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as reference

from penstock.drift import compare_predictions
from penstock.label_config import LabelsConfig
from penstock.label_rows import given_labels, typed
from penstock.labels import changes, fold
from penstock.live_measures import measure_classes, measure_numbers
from penstock.live_metrics import score_windows
from penstock.monitor_config import MonitorConfig
from penstock.served import fixed_of
from penstock.sketch import category_summary, number_summary
from tests.penstock.test_live_metrics import NOW

NAMES = np.array(["a", "b", "c"])


def classes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed)
    label = draws.choice(3, n, p=[0.6, 0.3, 0.1])
    wrong = draws.uniform(size=n) < 0.3
    return NAMES[label], NAMES[np.where(wrong, draws.integers(0, 3, n), label)]


def test_the_values_are_those_of_scikit_learn() -> None:
    label, decision = classes(900, 1)
    found = {name: one.value for name, one in measure_classes(label, decision).items()}
    assert found == pytest.approx({
        "accuracy": reference.accuracy_score(label, decision),
        "balanced_accuracy": reference.balanced_accuracy_score(label, decision),
        "macro_f1": reference.f1_score(label, decision, average="macro"),
    })  # fmt: skip
    number = np.random.default_rng(1).normal(20, 3, 500)
    guess = (number + 1).astype(np.float32)
    found = {name: one.value for name, one in measure_numbers(number, guess).items()}
    assert found == pytest.approx({"mae": 1, "rmse": 1, "mape": np.mean(1 / number)}, rel=1e-5)


def test_a_class_that_is_only_predicted_is_in_no_mean() -> None:
    found = measure_classes(np.array(["a", "a", "b", "b"]), np.array(["a", "z", "b", "b"]))
    assert found["balanced_accuracy"].value == 0.75
    assert measure_classes(np.array([], str), np.array([], str)) == {}
    assert "mape" not in measure_numbers(np.array([0.0, 1.0]), np.array([1.0, 1.0]))


def test_intervals_hold_about_as_often_as_they_say() -> None:
    truth = {name: one.value for name, one in measure_classes(*classes(300_000, 0)).items()}
    held = dict.fromkeys(truth, 0)
    for seed in range(200):
        for name, one in measure_classes(*classes(600, seed + 1)).items():
            held[name] += one.low <= truth[name] <= one.high
    assert all(180 <= count <= 199 for count in held.values()), held


def test_labels_are_of_the_task() -> None:
    assert typed(pl.Series([" 7 ", "x", None]), "multiclass").to_list() == ["7", "x", None]
    assert typed(pl.Series([7.0, 8.0]), "multiclass").to_list() == typed(pl.Series([7, 8]), "multiclass").to_list()
    assert typed(pl.Series(["7.5", "x", "inf"]), "regression").to_list() == [7.5, None, None]
    rows = pl.DataFrame({"request_id": ["r", "s"], "late": ["12.5", "7"]})
    given = given_labels(rows, LabelsConfig(), "late", {}, "f.csv", "regression")
    state = fold([(1, given.rows)], ("request_id", "row"), "regression")
    assert state["label"].to_list() == [12.5, 7.0]
    new, corrected = changes(fold([], ("request_id", "row"), "regression"), given.rows, ("request_id", "row"))
    assert (new.height, corrected.height) == (2, 0)
    assert fold([(1, given.rows)], ("request_id", "row")).is_empty()  # of a time when the task was another one


@pytest.mark.parametrize(("task", "label", "decision"), [("multiclass", "a", "b"), ("regression", 3.0, 5.0)])
def test_windows_are_scored_by_task(task: str, label: object, decision: object) -> None:
    kinds = {name: getattr(pl, kind) for name, kind in fixed_of(task).items()}
    time = int((NOW - datetime.timedelta(days=60)).timestamp() * 1e9)
    rows = pl.DataFrame(
        {"request_id": [f"r{n}" for n in range(200)], "row": 0, "time_ns": time, "model": "m-v1",
         "environment": "production", "score": 5.0, "decision": decision, "label": label, "arrived": 1},
        schema_overrides=kinds,
    )  # fmt: skip
    [found] = score_windows(rows, LabelsConfig(), (), 100, NOW, task=task)
    assert found.positives is None
    assert found.metrics["accuracy" if task == "multiclass" else "mae"].value == (0 if task == "multiclass" else 2)


def test_predictions_drift_in_their_unit_and_classes_by_their_shares() -> None:
    draws, config = np.random.default_rng(5), MonitorConfig(ks=0.5, psi=0.5)
    before = number_summary("prediction", draws.normal(100, 20, 20_000))
    after = number_summary("prediction", draws.normal(103, 20, 20_000))
    assert compare_predictions(before, after, config, 0.001, unit=10).alarm
    assert not compare_predictions(before, after, config, 0.001, unit=100).alarm
    classes = category_summary("class", {"a": 5000, "b": 5000})
    assert compare_predictions(classes, category_summary("class", {"a": 900, "b": 100}), config, 0.001).alarm
    assert not compare_predictions(classes, category_summary("class", {"a": 480, "b": 520}), config, 0.001).alarm
