"""Metrics of several classes and of numbers, beside scikit-learn's; naive answers; the gate on them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from penstock.config import EvaluateConfig, GateConfig
from penstock.gate import decide
from penstock.judge import judge_of
from penstock.multiclass_metrics import by_class, multiclass_metrics
from penstock.naive import last_values
from penstock.paired import Loss
from penstock.regression_metrics import regression_metrics
from penstock.task_type import TASK_TYPES, Target

RNG = np.random.default_rng(7)


def scored(n: int = 400, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    label = RNG.integers(0, classes, n)
    raw = RNG.uniform(size=(n, classes)) + 0.8 * np.eye(classes)[label] * RNG.uniform(size=(n, 1))
    return label, (raw / raw.sum(1, keepdims=True)).astype(np.float32)


def test_multiclass_metrics_are_those_of_scikit_learn() -> None:
    label, score = scored()
    called = score.argmax(1)
    assert multiclass_metrics(label, score) == pytest.approx({
        "accuracy": reference.accuracy_score(label, called),
        "balanced_accuracy": reference.balanced_accuracy_score(label, called),
        "macro_f1": reference.f1_score(label, called, average="macro"),
        "macro_auc": reference.roc_auc_score(label, score / score.sum(1, keepdims=True), multi_class="ovr"),
        "log_loss": reference.log_loss(label, score.astype(float)),
    }, rel=1e-4)  # fmt: skip


def test_a_class_without_rows_is_in_no_mean_and_one_class_alone_has_no_auc() -> None:
    label, score = scored()
    some = label != 2
    there = multiclass_metrics(label[some], score[some])
    called = score[some].argmax(1)
    f1 = reference.f1_score(label[some], called, average=None, labels=[0, 1, 3])
    assert there["macro_f1"] == pytest.approx(f1.mean())
    alone = multiclass_metrics(label[label == 1], score[label == 1])
    assert alone["macro_auc"] is None
    assert by_class(label[some], score[some], ("a", "b", "c", "d"))[2]["recall"] is None


def test_regression_metrics_are_those_of_scikit_learn() -> None:
    label = RNG.normal(50, 10, 300)
    score = (label + RNG.normal(0, 4, 300)).astype(np.float32)
    assert regression_metrics(label, score, 0.8) == pytest.approx({
        "rmse": reference.root_mean_squared_error(label, score),
        "mae": reference.mean_absolute_error(label, score),
        "r2": reference.r2_score(label, score),
        "mape": reference.mean_absolute_percentage_error(label, score),
        "pinball": reference.mean_pinball_loss(label, score, alpha=0.8),
    })  # fmt: skip


def test_what_is_not_defined_is_none_and_not_a_huge_number() -> None:
    score = np.array([1, 2, 3], np.float32)
    assert regression_metrics(np.array([0.0, 2.0, 3.0]), score, None)["mape"] is None
    assert regression_metrics(np.full(3, 2.0), score, None)["r2"] is None
    assert regression_metrics(np.full(3, 2.0), score, None)["pinball"] is None


@pytest.mark.parametrize("task", list(TASK_TYPES))
def test_every_metric_of_a_task_type_is_measured_and_no_other(task: str) -> None:
    label, score = scored()
    if task != "multiclass":
        label, score = label > 1, score[:, 2]
    judge = judge_of(Target(task=task), ("a", "b", "c", "d"), EvaluateConfig(), label, score)
    assert tuple(judge.measure(label, score)) == TASK_TYPES[task].metrics
    for metrics in judge.naive(label, label, None).values():
        assert tuple(metrics) == TASK_TYPES[task].metrics


def test_the_majority_knows_the_shares_of_the_training_rows() -> None:
    train, label = np.arange(100) < 30, np.arange(100) < 40
    judge = judge_of(Target(), (), EvaluateConfig(), label, np.linspace(0, 1, 100))
    found = judge.naive(label, train, None)["majority"]
    assert (found["auc"], found["accuracy"], found["f1"]) == (0.5, 0.6, 0.0)
    assert found["log_loss"] == pytest.approx(-0.4 * np.log(0.3) - 0.6 * np.log(0.7))


def test_the_last_value_is_older_than_the_gap_and_of_a_row_that_may_be_told() -> None:
    time, label = np.array([10, 30, 20, 40]), np.array([1.0, 3.0, 2.0, 4.0])
    everything = np.ones(4, bool)
    np.testing.assert_array_equal(last_values(time, label, everything, 0), [np.nan, 2, 1, 3])
    np.testing.assert_array_equal(last_values(time, label, everything, 10), [np.nan, 1, np.nan, 2])
    np.testing.assert_array_equal(last_values(time, label, time != 20, 0), [np.nan, 1, 1, 3])
    assert np.isnan(last_values(time, label, ~everything, 0)).all()


def numbers(**naive: float | None) -> dict[str, object]:
    return {
        "task": "regression",
        "rows": 5000,
        "metrics": {"rmse": 4.0},
        "naive": {name.replace("_", " "): {"rmse": value} for name, value in naive.items()},
        "latency_ms": {"p50": 1.0},
        "size_bytes": 1000,
    }


@pytest.mark.parametrize(
    ("naive", "passed"),
    [
        ({"mean": 5.0, "last_value": 6.0}, True),
        ({"mean": 5.0, "last_value": 4.4}, False),  # less than 0.5 better than one of them
        ({"mean": 3.0}, False),
        ({"mean": None}, False),
        ({}, False),
    ],
)
def test_a_gain_is_over_every_naive_answer_and_nothing_to_compare_with_does_not_pass(
    naive: dict[str, float | None], passed: bool
) -> None:
    gate = GateConfig.model_validate({"metrics": {"rmse": {"min_gain": 0.5}}})
    decision = decide(gate, EvaluateConfig(), numbers(**naive))
    assert decision.passed == passed
    assert "rarer" not in " ".join(check.name for check in decision.checks)


def test_of_an_error_less_is_better_than_the_champion() -> None:
    gate = GateConfig.model_validate({"metrics": {"rmse": {"max_loss": 0.1}}})
    champion = numbers() | {"metrics": {"rmse": 3.8}}
    for candidate, baseline, lost in ((numbers(), champion, 0.2), (champion, numbers(), -0.2)):
        losses = [Loss(metric="rmse", rows=5000, loss=lost, error=0.01)]
        assert decide(gate, EvaluateConfig(), candidate, baseline, losses=losses).passed is (lost < 0)


def test_the_rarest_class_has_to_have_its_rows() -> None:
    gate = GateConfig.model_validate({"metrics": {"rmse": {"max": 9}}, "min_positives": 10})
    for least, passed in ((10, True), (9, False), (0, False)):
        found = numbers() | {"task": "multiclass", "rows_by_class": {"a": 4000, "b": least}}
        assert decide(gate, EvaluateConfig(), found).passed == passed
