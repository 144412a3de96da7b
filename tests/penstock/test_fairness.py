"""Groups beside each other: rates, their intervals, and bounds that fail closed."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.config import parse
from penstock.errors import ConfigError
from penstock.fairness import Fairness, fairness_checks, measured_groups
from penstock.fairness_config import FairnessRule
from penstock.intervals import wilson
from tests.penstock.test_config import GOOD

GROUP = np.array(["a"] * 100 + ["b"] * 200 + ["c"] * 5)
LABEL = np.zeros(305, bool)
LABEL[[*range(50), *range(100, 140)]] = True
ANSWER = np.zeros(305, bool)
ANSWER[[*range(40), *range(100, 110), *range(200, 210)]] = True


def checks(metric, label=LABEL, answer=ANSWER, min_rows=100, **bounds):
    rule = FairnessRule(column="g", metric=metric, **bounds)
    found = Fairness(found=(measured_groups(metric, GROUP, label, answer, min_rows),))
    return list(fairness_checks([rule], found, min_rows))


@pytest.mark.parametrize(
    ("metric", "low", "high"),
    [
        ("selection_rate", ("b", 20, 200), ("a", 40, 100)),
        ("true_positive_rate", ("b", 10, 40), ("a", 40, 50)),
        ("false_positive_rate", ("a", 0, 50), ("b", 10, 160)),
        ("accuracy", ("b", 160, 200), ("a", 90, 100)),
    ],
)
def test_a_rate_is_that_of_its_rows_and_the_check_names_both_groups(metric, low, high):
    apart = high[1] / high[2] - low[1] / low[2]
    [difference, ratio] = checks(metric, max_difference=apart + 1e-9, min_ratio=0.99)
    assert difference.passed and not ratio.passed
    assert difference.value == pytest.approx(apart)
    assert ratio.value == pytest.approx((low[1] / low[2]) / (high[1] / high[2]))
    for name, hits, rows in (low, high):
        assert f"{name} {wilson(hits, rows)}" in ratio.note
    assert "1 under 100 rows not judged" in ratio.note
    assert not checks(metric, max_difference=apart - 1e-6)[0].passed


def test_a_mean_error_may_be_negative():
    error = np.where(GROUP == "a", -3.0, 1.0) + np.tile([-1.0, 1.0], 153)[:305]
    [check] = checks("mean_error", label=np.zeros(305), answer=error, max_difference=3.9)
    assert check.value == pytest.approx(4.0) and not check.passed
    assert "a -3.0000 [-3.1" in check.note


def test_nobody_chosen_anywhere_is_no_difference():
    [difference, ratio] = checks("selection_rate", answer=np.zeros(305, bool), max_difference=0, min_ratio=1)
    assert difference.passed and ratio.passed


def test_what_cannot_be_judged_is_not_passed():
    [check] = checks("selection_rate", min_rows=150, max_difference=1)
    assert not check.passed and "fewer than two groups" in check.note
    [check] = checks("true_positive_rate", label=LABEL & (GROUP == "a"), max_difference=1)
    assert not check.passed and "group b has no row" in check.note
    rule = FairnessRule(column="g", metric="accuracy", max_difference=1, min_ratio=0)
    assert [one.passed for one in fairness_checks([rule], None, 1)] == [False, False]
    assert [one.passed for one in fairness_checks([rule], Fairness(found=()), 1)] == [False, False]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{column: age, metric: accuracy, max_difference: 0.1}", "`age` is neither a feature nor one of"),
        ("{column: origin, metric: mean_error, max_difference: 0.1}", "`mean_error` is not for binary"),
        ("{column: origin, metric: accuracy}", "give `max_difference`, `min_ratio` or both"),
        ("{column: origin, metric: mean_error, min_ratio: 0.8}", "a mean error may be negative"),
        ("{column: origin, metric: accuracy, max_diference: 0.1}", "did you mean `max_difference`?"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(rule, said):
    text = GOOD.replace("  metrics:\n", f"  fairness:\n    - {rule}\n  metrics:\n")
    with pytest.raises(ConfigError) as caught:
        parse(text, "configs/flights.yaml")
    assert said in caught.value.text()


def test_a_column_that_is_no_feature_may_be_kept_as_a_slice():
    rule = "  fairness: [{column: age, metric: accuracy, max_difference: 0.1}]\n  metrics:\n"
    project = parse(GOOD.replace("  metrics:\n", rule) + "evaluate: {slices: [age]}\n", "configs/flights.yaml")
    assert project.gate.fairness[0].column == "age"
