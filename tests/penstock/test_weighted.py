"""Weighted metrics of classes and numbers beside the plain ones, of the rows repeated as often as they were drawn."""

import numpy as np
import pytest

from penstock.config import EvaluateConfig
from penstock.judge import judge_from
from penstock.task_type import MULTICLASS, REGRESSION

ROWS = 403
DRAWN = np.bincount(np.random.default_rng(2).integers(0, ROWS, ROWS), minlength=ROWS)
QUANTILE = 0.8


def judged(task: str):
    """(judge, label, score): four classes, of which the last is rare; or positive numbers."""
    draws = np.random.default_rng(3)
    if task == "multiclass":
        label = draws.choice(4, ROWS, p=[0.5, 0.3, 0.18, 0.02])
        score = np.eye(4)[label] + draws.exponential(1, (ROWS, 4))
        facts = {"task": task, "classes": list("abcd")}
        return judge_from(facts, EvaluateConfig()), label, (score / score.sum(1, keepdims=True)).astype(np.float32)
    label = draws.gamma(2, 5, ROWS)
    facts = {"task": task, "quantile": QUANTILE}
    return judge_from(facts, EvaluateConfig()), label, (label + draws.normal(0, 3, ROWS)).astype(np.float32)


@pytest.mark.parametrize(
    ("task", "metric"), [(kind.name, name) for kind in (MULTICLASS, REGRESSION) for name in kind.metrics]
)
def test_weights_are_rows_drawn_so_often(task, metric):
    judge, label, score = judged(task)
    again = judge.measure(np.repeat(label, DRAWN), np.repeat(score, DRAWN, axis=0))[metric]
    found = judge.statistic(metric, label, score)(np.stack([np.ones(ROWS), DRAWN]))
    assert found == pytest.approx([judge.measure(label, score)[metric], again], rel=1e-6)


def test_a_class_that_was_not_drawn_is_left_out():
    judge, label, score = judged("multiclass")
    kept = label != 3
    for metric in MULTICLASS.metrics:
        alone = judge.measure(label[kept], score[kept])[metric]
        assert judge.statistic(metric, label, score)(kept[None].astype(float))[0] == pytest.approx(alone), metric


def test_what_is_not_defined_has_no_value():
    judge, label, score = judged("regression")
    one = np.zeros((1, ROWS))
    one[0, 5] = ROWS
    assert np.isnan(judge.statistic("r2", label, score)(one)).all()
    assert np.isnan(judge.statistic("mape", np.append(label, 0), np.append(score, 1))(np.ones((1, ROWS + 1)))).all()
    judge, label, score = judged("multiclass")
    assert np.isnan(judge.statistic("macro_auc", label, score)((label == 1)[None].astype(float))).all()


@pytest.mark.parametrize("task", ["multiclass", "regression", "binary"])
def test_predictions_are_read_as_they_were_written(task):
    import polars as pl

    if task == "binary":
        judge = judge_from({"task": task, "threshold": 0.4}, EvaluateConfig())
        label, score = np.arange(5) % 2 == 0, np.linspace(0, 1, 5, dtype=np.float32)
    else:
        judge, label, score = judged(task)
    read = judge.read(pl.DataFrame(judge.columns(label, score)))
    assert (read[0] == label).all() and (read[1] == score).all()
    assert read[1].dtype == np.float32
