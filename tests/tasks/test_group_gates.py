"""Groups and single features of the tiny project, measured on real splits and predictions."""

from __future__ import annotations

import polars as pl
import pytest

from penstock.errors import StorageError
from penstock.fairness_config import FairnessRule
from penstock.leakage import leak_check
from tasks.store import store
from tasks.training import leaking
from tasks.training.grouping import compare_groups
from tasks.training.leaking import measure_features
from tests.tasks.test_training_steps import Data


def evaluated(data: Data):
    splits = data.split()
    return splits, data.evaluate(splits, data.train(splits))


def test_rates_are_those_of_the_predictions(checkout, monkeypatch):
    checkout.change(evaluate={"slices": ["color", "id"]})
    splits, evaluation = evaluated(Data(monkeypatch))
    rules = tuple(
        FairnessRule(column=column, metric=metric, max_difference=1)
        for column, metric in [("color", "selection_rate"), ("color", "true_positive_rate"), ("id", "accuracy")]
    )
    chosen, found, ids = compare_groups(splits, evaluation, rules, 50).found
    threshold = store.read_json(evaluation.metrics)["threshold"]
    rows = pl.read_parquet(store.locate(evaluation.predictions)).with_columns(
        pl.read_parquet(store.locate(splits.test))["color"].cast(pl.String), said=pl.col("score") >= threshold
    )
    for group in chosen.judged:
        assert group.measured.value == pytest.approx(rows.filter(color=group.name)["said"].mean())
    for group in found.judged:
        assert group.measured.value == pytest.approx(rows.filter(color=group.name, label=True)["said"].mean())
    assert chosen.judged[-1].name == "red"  # the colour that raises the label
    assert not ids.judged and ids.small == rows.height


def test_predictions_of_other_rows_are_refused(checkout, monkeypatch):
    data = Data(monkeypatch)
    _, evaluation = evaluated(data)
    other = data.split(seed=1, by="random")
    with pytest.raises(StorageError, match="not of these test rows"):
        rule = FairnessRule(column="color", metric="accuracy", max_difference=1)
        compare_groups(other, evaluation, (rule,), 50)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_planted_leak_is_named_and_honest_features_are_not(checkout, monkeypatch, task):
    if task != "binary":
        checkout.task(task)
    data = Data(monkeypatch)
    splits = data.split()
    honest = leak_check(measure_features(splits, data.project.features, task), 0.99)
    assert honest.passed and honest.value > 0.6 and "size alone" in honest.note

    def leaked(frame):
        late = frame["late"]
        if task == "multiclass":
            return frame.with_columns(color=late)
        number = late.cast(pl.Float32) * 7 if task == "binary" else (late / 10).cast(pl.Float32)
        return frame.with_columns(seats=number)

    data = Data(monkeypatch, leaked)
    check = leak_check(measure_features(data.split(), data.project.features, task), 0.99)
    assert not check.passed
    assert f"`{'color' if task == 'multiclass' else 'seats'}`" in check.note


def test_of_many_rows_every_so_many_are_looked_at_whatever_the_batches(home):
    rows = pl.DataFrame({"x": range(450_001), "y": 0})
    with store.new_file("rows.parquet") as draft:
        rows.write_parquet(draft.path)
    assert leaking._thinned(draft.ref, ["x"]).equals(rows.select("x").gather_every(3))
