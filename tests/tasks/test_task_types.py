"""Splitting, training and evaluation of each task type over real files."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from penstock.errors import ConfigError, DataError
from penstock.model import learnt, load
from tasks.data.project import load_project
from tasks.store import store
from tests.tasks.test_training_steps import Data


def evaluated(data, **train):
    data.project = data.project.model_copy(update={"train": data.project.train.model_copy(update=train)})
    splits = data.split()
    model = data.train(splits)
    return splits, model, data.evaluate(splits, model)


def predictions(evaluation) -> pl.DataFrame:
    return pl.read_parquet(store.locate(evaluation.predictions))


def test_classes_are_those_of_the_training_rows_and_travel_with_the_model(checkout, monkeypatch):
    checkout.task("multiclass")
    splits, model, evaluation = evaluated(Data(monkeypatch))
    assert splits.classes == ("early", "late", "on time")
    assert learnt(load(store.read_bytes(model.booster))) == ("multiclass", splits.classes)
    assert model.trees == 3 * (model.best_iteration + 1)
    found = store.read_json(evaluation.metrics)
    rows = predictions(evaluation)
    probabilities = rows["probabilities"].to_numpy()
    assert probabilities.shape == (rows.height, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (np.array(splits.classes)[probabilities.argmax(1)] == rows["class"].to_numpy()).all()
    assert found["metrics"]["accuracy"] == pytest.approx((rows["class"] == rows["label"]).mean())
    assert found["metrics"]["accuracy"] > 0.6 > found["naive"]["majority"]["accuracy"]
    assert "threshold" not in found
    assert sum(found["rows_by_class"].values()) == found["rows"] == rows.height
    assert np.sum(store.read_json(evaluation.curves)["confusion"]) == rows.height


def test_a_regression_beats_the_mean_and_the_last_value_which_keeps_the_gap(checkout, monkeypatch):
    checkout.task("regression")
    data = Data(monkeypatch)
    splits, model, evaluation = evaluated(data)
    assert learnt(load(store.read_bytes(model.booster))) == ("regression", ())
    found = store.read_json(evaluation.metrics)
    rows = predictions(evaluation)
    truth, guess = rows["label"].to_numpy(), rows["prediction"].to_numpy()
    assert found["metrics"]["rmse"] == pytest.approx(np.sqrt(np.mean((guess - truth) ** 2)), rel=1e-6)
    train = pl.read_parquet(store.locate(splits.train))["late"].to_numpy()
    assert found["naive"]["mean"]["mae"] == pytest.approx(np.abs(truth - train.mean()).mean())
    assert found["metrics"]["rmse"] < min(metrics["rmse"] for metrics in found["naive"].values())
    test = pl.read_parquet(store.locate(splits.test))
    asked = data.rows[test["__row__"].to_list()]["at"]
    known = data.rows.filter(pl.col("late").is_in(test["__last__"].implode())).select("at", "late")
    when = dict(zip(known["late"], known["at"], strict=True))
    ages = [at - when[last] for at, last in zip(asked, test["__last__"], strict=True)]
    assert min(ages).total_seconds() == 4800  # the gap is an hour and rows are 20 minutes apart: the first beyond it


def test_a_quantile_is_exceeded_by_as_many_as_it_says(checkout, monkeypatch):
    checkout.task("regression")
    params = {"max_depth": 3, "eta": 0.3, "quantile_alpha": 0.9}
    _, _, evaluation = evaluated(Data(monkeypatch), objective="reg:quantileerror", params=params, rounds=60)
    rows, found = predictions(evaluation), store.read_json(evaluation.metrics)
    assert 0.85 < (rows["label"] <= rows["prediction"]).mean() < 0.95
    assert found["metrics"]["pinball"] < found["naive"]["quantile"]["pinball"]


@pytest.mark.parametrize("objective", ["reg:absoluteerror", "reg:pseudohubererror", "reg:gamma", "reg:tweedie"])
def test_every_objective_trains_and_is_cut_at_its_best_iteration(checkout, monkeypatch, objective):
    checkout.task("regression")
    data = Data(monkeypatch, lambda frame: frame.with_columns(pl.col("late").abs() + 1))
    params = {"max_depth": 3, "eta": 0.9, "max_delta_step": 1}
    _, model, evaluation = evaluated(data, objective=objective, params=params)
    history = store.read_json(model.history)
    assert len(history["validation"]) == model.rounds
    assert np.argmin(history["validation"]) == model.best_iteration
    assert np.isfinite(predictions(evaluation)["prediction"].to_numpy()).all()


def test_balanced_classes_find_more_of_the_rare_one(checkout, monkeypatch):
    rare = (pl.col("late") == "late") & (pl.int_range(pl.len()) % 8 != 0)
    checkout.task("multiclass")
    data = Data(monkeypatch, lambda frame: frame.filter(~rare))
    recall = {}
    for weights in ("none", "balanced"):
        _, _, evaluation = evaluated(data, class_weights=weights)
        [late] = [one for one in store.read_json(evaluation.curves)["by_class"] if one["class"] == "late"]
        recall[weights] = late["recall"]
    assert recall["balanced"] > recall["none"] + 0.1


def test_balanced_weights_raise_the_scores_of_a_rare_truth(checkout, monkeypatch):
    data = Data(monkeypatch, lambda frame: frame.filter(~pl.col("late") | (pl.int_range(pl.len()) % 10 == 0)))
    share = data.rows["late"].mean()
    plain, balanced = (
        predictions(evaluated(data, class_weights=weights)[2])["score"].mean() for weights in ("none", "balanced")
    )
    assert plain == pytest.approx(share, abs=0.05)
    assert balanced > 2 * share


def test_whole_numbers_are_classes_in_the_order_of_their_values(checkout, monkeypatch):
    checkout.task("multiclass")
    data = Data(monkeypatch, lambda frame: frame.with_columns(late=(pl.col("size") // 34).cast(pl.Int64) + 9))
    assert data.split().classes == ("9", "10", "11")


def test_a_class_that_only_later_rows_have_is_named(checkout, monkeypatch):
    checkout.task("multiclass")
    last = pl.col("id").str.starts_with("b4") & (pl.col("late") == "late")
    data = Data(
        monkeypatch, lambda frame: frame.with_columns(pl.when(last).then(pl.lit("new")).otherwise("late").alias("late"))
    )
    with pytest.raises(DataError, match="classes that no training row has") as found:
        data.split()
    assert "new" in str(found.value.found)


@pytest.mark.parametrize(("label", "said"), [(1.0, "the same in all"), (float("inf"), "not a finite number")])
def test_a_number_that_does_not_vary_or_is_none_is_named(checkout, monkeypatch, label, said):
    checkout.task("regression")
    with pytest.raises(DataError, match=said):
        Data(monkeypatch, lambda frame: frame.with_columns(late=pl.lit(label))).split()


def test_a_model_of_another_task_or_other_classes_is_incomparable(checkout, monkeypatch, data):
    _, model, _ = evaluated(data)
    checkout.task("multiclass")
    other = Data(monkeypatch)
    news, made, _ = evaluated(other)
    said = store.read_json(other.evaluate(news, model).metrics)
    assert said == {"incomparable": "it is a model of the task binary, and the task is multiclass now"}
    fewer = news.model_copy(update={"classes": ("early", "late")})
    assert "on time" in store.read_json(other.evaluate(fewer, made).metrics)["incomparable"]


def test_a_label_that_does_not_fit_the_task_names_the_task_that_it_fits(checkout):
    checkout.task("regression")
    checkout.change(train={"task": "multiclass"}, gate={"metrics": {"r2": None, "macro_f1": {"min": 0.5}}})
    with pytest.raises(ConfigError, match=r"The label `late` is Float64, and `train\.task` is multiclass") as found:
        load_project("tiny")
    assert "train.task: regression" in found.value.next_step


@pytest.fixture
def data(checkout, monkeypatch) -> Data:
    return Data(monkeypatch)
