"""The task, the roles and the leaks of a table: each finding beside a clean twin that has none."""

from __future__ import annotations

import datetime

import numpy as np
import polars as pl
import pytest

from penstock.baseline import baseline
from penstock.config import FeaturesConfig
from penstock.errors import DataError
from penstock.infer import infer
from penstock.infer_leaks import alone, is_copy
from penstock.infer_target import find_target, infer_target
from penstock.source_config import SourceConfig

SOURCE = SourceConfig(files="rows.csv", format="csv")
N = 600
DAY = datetime.date(2020, 1, 1)


def table(**more) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    x = rng.normal(size=N)
    late = rng.uniform(size=N) < 1 / (1 + np.exp(-2 * x))
    columns = {"x": [f"{value:.4f}" for value in x], "color": rng.choice(["red", "blue"], N)}
    columns["late"] = np.where(late, "yes", "no")
    return pl.DataFrame({**columns, **{name: make(rng, late) for name, make in more.items()}})


def role(name, **more):
    found = infer(table(**more), SOURCE, "late")
    return next(column for column in found.columns if column.there == name)


ROLES = {
    "constant": (lambda rng, late: ["x"] * N, "left out", "constant"),
    "empty": (lambda rng, late: [""] * N, "left out", "no value"),
    "Order ID": (lambda rng, late: [f"A{i}" for i in range(N)], "id", "another text"),
    "running": (lambda rng, late: [str(i) for i in range(N)], "id", "another whole number"),
    "user_id": (lambda rng, late: [str(1000 + i % 90) for i in range(N)], "group", "rows each"),
    "household": (lambda rng, late: [str(i // 4 + 1) for i in range(N)], "group", "4.0 rows each"),
    "level": (lambda rng, late: [str(i // 4 + 7) for i in range(N)], "numeric", "numbers"),  # not from the first
    "level2": (lambda rng, late: [str(i // 4 % 99) for i in range(N)], "numeric", "numbers"),  # not in order
    "comment": (lambda rng, late: [f"this is row {i // 2} of some text" for i in range(N)], "left out", "free text"),
    "street": (lambda rng, late: [f"s{i // 2}" for i in range(N)], "left out", "high cardinality"),
    "zip": (lambda rng, late: rng.choice(["01234", "50667"], N), "categorical", "code"),
    "price": (lambda rng, late: [f"{v:.2f}" for v in rng.uniform(1, 99, N)], "numeric", "numbers"),
    "flag": (lambda rng, late: rng.choice(["yes", "no"], N), "numeric", "no or yes"),
    "created": (lambda rng, late: [str(DAY + datetime.timedelta(i)) for i in range(N)], "time", "orders"),
    "birthday": (lambda rng, late: [str(DAY - datetime.timedelta(i * 7 % 999)) for i in range(N)], "left out", "times"),
    "outcome": (lambda rng, late: np.where(late, "L", "P"), "leak", "copy"),
    "delay": (lambda rng, late: [str(v) for v in np.where(late, 20, 2) + rng.integers(0, 9, N)], "leak", "alone"),
    "noise": (lambda rng, late: [str(v) for v in rng.normal(size=N)], "numeric", "numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROLES)
def test_roles(name):
    make, wanted, why = ROLES[name]
    found = role(name, **{name: make})
    assert (found.role, why in found.why) == (wanted, True), found


def test_a_number_that_stands_for_nothing_is_noticed():
    odd = lambda rng, late: [str(v) for v in np.where(rng.uniform(size=N) < 0.1, -999, rng.integers(0, 50, N))]  # noqa: E731
    assert "-999" in role("age", age=odd).check
    assert role("age", age=lambda rng, late: [str(v) for v in rng.integers(-50, 50, N)]).check == ""


def test_what_only_grows_out_of_many_values_is_no_leak():
    rng = np.random.default_rng(0)
    label = rng.uniform(size=2000) < 0.5
    assert alone(pl.Series([f"v{i}" for i in range(2000)]), label) < 0.6  # each value once: tells nothing out of fold
    assert alone(pl.Series(rng.normal(size=2000)), label) < 0.6
    assert alone(pl.Series(label.astype(float) * 100 + rng.normal(size=2000)), label) > 0.995
    band = pl.Series(np.where(label, 50.0, np.where(rng.uniform(size=2000) < 0.5, 0.0, 100.0)) + rng.normal(size=2000))
    assert alone(band, label) > 0.995  # also when it neither rises nor falls
    assert alone(pl.Series([None if each else 1.5 for each in label]), label) > 0.995  # missing when True
    assert is_copy(pl.Series([None if each else "a" for each in label]), label)
    assert not is_copy(pl.Series(rng.choice(["a", "b"], 2000)), label)


@pytest.mark.parametrize(
    ("values", "task", "said"),
    [
        (["yes", "no"] * 50, "binary", "True is yes"), (["0", "1", "1"] * 30, "binary", "True is 1"),
        (["1.0", "0", "1"] * 30, "binary", "True is 1"), (["Yes", "no", "YES"] * 30, "binary", "True is"),
        (["good", "bad", "good"] * 30, "binary", "True is bad"), ([True, False] * 30, "binary", "True is true"),
        (["a", "b", "c"] * 30, "multiclass", "3 classes"), (["1", "2", "3"] * 30, "multiclass", "3 classes"),
        ([str(v / 7) for v in range(90)], "regression", "numbers"), (list(range(90)), "regression", "numbers"),
    ],
)  # fmt: skip
def test_the_task(values, task, said):
    found = infer_target(pl.Series("y", values), SOURCE)
    assert (found.task, said in found.why) == (task, True), found


def test_counts_and_imbalance_and_a_guessed_direction_are_noticed():
    counts = infer_target(pl.Series("y", np.random.default_rng(0).poisson(8, 500)), SOURCE)
    assert "counts" in " ".join(counts.checks)
    rare = infer_target(pl.Series("y", ["0"] * 990 + ["1"] * 10), SOURCE)
    assert "imbalanced" in " ".join(rare.checks)
    assert rare.share == 0.01
    assert "imbalanced" not in " ".join(infer_target(pl.Series("y", ["0", "1"] * 50), SOURCE).checks)
    assert "rarer" in infer_target(pl.Series("y", ["good"] * 60 + ["bad"] * 40), SOURCE).checks[0]


def test_a_target_that_is_none_is_refused():
    with pytest.raises(DataError, match="one value"):
        infer_target(pl.Series("y", ["a"] * 50), SOURCE)
    with pytest.raises(DataError, match="one value"):
        infer_target(pl.Series("y", [None] * 50, pl.String), SOURCE)
    with pytest.raises(DataError, match="text of"):
        infer_target(pl.Series("y", [f"t{i}" for i in range(500)]), SOURCE)
    with pytest.raises(DataError, match="too few rows"):
        infer_target(pl.Series("y", ["a", "b"] * 50 + ["c"] * 3), SOURCE)
    with pytest.raises(DataError, match="too few rows"):
        infer_target(pl.Series("y", ["a"] * 50 + ["b"] * 3), SOURCE)
    with pytest.raises(DataError, match="is a time"):
        infer_target(pl.Series("y", [DAY, DAY + datetime.timedelta(1)] * 30), SOURCE)
    with pytest.raises(DataError, match="not two"):
        infer_target(pl.Series("y", ["a", "b", "c"] * 30), SOURCE, "binary")


def test_a_misspelt_target_is_told_with_the_closest_names():
    assert find_target("order id", ["x", "Order ID"]) == "Order ID"
    with pytest.raises(DataError) as caught:
        find_target("chrned", ["age", "churned", "city"])
    assert "`churned`" in caught.value.next_step


@pytest.mark.parametrize(
    ("make", "task", "dtype"),
    [
        (lambda x: np.where(x < -0.4, "low", np.where(x < 0.4, "mid", "high")), "multiclass", "String"),
        (lambda x: [str(int(v > -0.4) + int(v > 0.4)) for v in x], "multiclass", "Int64"),
        (lambda x: [f"{int(v > -0.4) + int(v > 0.4):02}" for v in x], "multiclass", "String"),
        (lambda x: [f"{3 * v + 1:.3f}" for v in x], "regression", "Float64"),
        (lambda x: [str(int(40 + 9 * v)) for v in x], "regression", "Int64"),
    ],
)  # fmt: skip
def test_all_task_types_get_a_type_a_split_and_a_baseline(make, task, dtype):
    x = np.random.default_rng(3).normal(size=N)
    frame = table(y=lambda rng, late: make(x + rng.normal(size=N) / 4)).drop("late")
    found = infer(frame, SOURCE, "y")
    assert (found.target.task, found.schema["y"].dtype) == (task, dtype)
    assert found.split_by == ("random" if task == "regression" else "stratified")
    features = FeaturesConfig(label="y", categorical=("color",), numeric=("x",))
    base = baseline(found.rows, features, found.split_by, 2, task, found.target.counts)
    assert base.learns and base.saves
    assert base.guessing(base.headline) < base.least(base.headline) < base.low < base.of(base.headline)
    assert base.of(base.cost) < base.guessing(base.cost) <= base.most_cost
    none = baseline(found.rows, FeaturesConfig(label="y", categorical=("color",)), found.split_by, 2, task)
    assert not none.learns


@pytest.mark.parametrize("kind", ["unit", "rising", "noisy"])
def test_a_number_that_alone_tells_a_number_is_a_leak(kind):
    x = np.random.default_rng(3).normal(size=N)
    told = {"unit": -2.54 * x + 7, "rising": np.exp(x), "noisy": x + np.random.default_rng(1).normal(size=N)}[kind]
    frame = pl.DataFrame({"y": x, "told": told, "z": np.random.default_rng(2).normal(size=N)})
    column = next(each for each in infer(frame, SOURCE, "y").columns if each.name == "told")
    why = {"unit": "copy", "rising": "copy", "noisy": "numbers"}[kind]
    assert (column.role, why in column.why) == ("numeric" if kind == "noisy" else "leak", True), column


def test_counts_are_learnt_as_counts_where_that_is_as_good():
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    features = FeaturesConfig(label="y", numeric=("x",))
    made = pl.DataFrame({"x": x, "y": rng.poisson(np.exp(0.5 + 0.5 * x))})
    assert baseline(made, features, "random", 2, "regression", counts=True).objective == "count:poisson"
    assert baseline(made, features, "random", 2, "regression").objective == ""


def test_nothing_left_to_learn_from_says_why():
    frame = table(copy=lambda rng, late: np.where(late, "L", "P")).select("late", "copy")
    with pytest.raises(DataError) as caught:
        infer(frame, SOURCE, "late")
    assert "copy of the target" in caught.value.found
    with pytest.raises(DataError, match="5 rows"):
        infer(table().head(5), SOURCE, "late")


def test_the_baseline_finds_a_signal_and_finds_none_where_there_is_none():
    found = infer(table(), SOURCE, "late")
    features = FeaturesConfig(label="late", categorical=("color",), numeric=("x",))
    good = baseline(found.rows, features, "stratified", 2)
    assert good.learns
    assert 0.5 < good.least("auc") < good.low < good.of("auc")
    assert good.of("log_loss") < good.guessing("log_loss") <= good.most_cost
    none = baseline(found.rows, FeaturesConfig(label="late", categorical=("color",)), "stratified", 2)
    assert not none.learns
    assert none.least("auc") <= 0.5
