"""Declared behaviour: each test finds its defect, passes its clean twin, and fails where it cannot be tried."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from penstock.behaviour import Asked, Behaviour, behaviour_checks, try_test
from penstock.behaviour_config import BehaviourTest
from penstock.config import parse
from penstock.errors import ConfigError
from tests.penstock.test_config import GOOD

ROWS = pl.DataFrame({
    "__row__": pl.Series([10, 11, 12, 13], dtype=pl.UInt64),
    "color": ["red", "blue", None, "red"],
    "size": pl.Series([1, 2, 3, None], dtype=pl.Int16),
})  # fmt: skip


def by_size(rows: pl.DataFrame) -> np.ndarray:
    """Rises with size, but falls from 12 on; blue is worth 0.2 more."""
    size = rows["size"].cast(pl.Float64).fill_null(0.0).to_numpy()
    blue = (rows["color"] == "blue").fill_null(False).to_numpy()
    return (np.where(size < 12, size / 20, 0.05) + 0.2 * blue).astype(np.float32)


def by_class(rows: pl.DataFrame) -> np.ndarray:
    one = by_size(rows)
    return np.stack([one, 1 - one], axis=1)


KNOWN = {"columns": ("color", "size"), "words": frozenset({"color"}), "known": {"color": ["blue", "red"]}}
BINARY = Asked(score=by_size, threshold=0.3, **KNOWN)
CLASSES = Asked(score=by_class, classes=("big", "small"), **KNOWN)


def tried(test: dict[str, Any], asked: Asked = BINARY, rows: pl.DataFrame = ROWS) -> Any:
    found = BehaviourTest.model_validate(test)
    result = try_test(found, asked, rows)
    [check] = behaviour_checks({"it": found}, Behaviour(tried={"it": result}))
    return result, check


def test_a_direction_that_holds_leaves_out_what_cannot_be_raised():
    result, check = tried({"direction": {"feature": "size", "add": 5, "score": "up"}})
    assert (result.rows, result.broken, check.passed) == (3, 0, True)


def test_a_direction_that_breaks_names_the_worst_rows_and_no_values():
    result, check = tried({"direction": {"feature": "size", "add": 10, "score": "up", "max_share": 0.5}})
    assert (result.rows, result.broken) == (3, 2)  # 2 + 10 and 3 + 10 are over the edge
    assert [one.row for one in result.worst] == [12, 11]
    assert not check.passed and check.value == pytest.approx(2 / 3)
    assert "row 12: 0.15 -> 0.05" in check.note and "blue" not in check.note
    assert tried({"direction": {"feature": "size", "add": 10, "score": "up", "max_share": 0.67}})[1].passed
    assert tried({"direction": {"feature": "size", "add": 10, "score": "up", "tolerance": 0.11}})[1].passed


def test_a_direction_may_be_downwards_and_by_a_factor():
    assert not tried({"direction": {"feature": "size", "factor": 2, "score": "down"}})[1].passed
    assert tried({"direction": {"feature": "size", "factor": 0.5, "score": "down"}})[1].passed


def test_an_invariance_counts_rows_that_any_value_moves():
    result, check = tried({"invariance": {"feature": "color", "values": ["red", "blue", None]}})
    assert (result.rows, result.broken, check.passed) == (4, 4, False)
    assert tried({"invariance": {"feature": "color", "values": ["blue"], "tolerance": 0.21}})[1].passed
    assert tried({"invariance": {"feature": "color", "values": ["red", None], "max_share": 0.25}})[1].passed


def test_an_example_is_held_to_its_bounds_and_its_answer():
    rows = [{"size": 2}, {"size": 8, "color": "red"}]
    assert tried({"example": {"rows": rows, "min": 0.1, "max": 0.4}})[1].passed
    result, check = tried({"example": {"rows": rows, "max": 0.39}})
    assert (result.rows, result.broken, check.passed) == (2, 1, False) and "row 2: 0.4" in check.note
    assert tried({"example": {"rows": [rows[1]], "answer": True}})[1].passed
    assert not tried({"example": {"rows": rows, "answer": True}})[1].passed


def test_of_several_classes_the_named_ones_probability_is_meant():
    assert tried({"direction": {"feature": "size", "add": 1, "score": "up", "of": "big"}}, CLASSES)[1].passed
    assert not tried({"direction": {"feature": "size", "add": 1, "score": "up", "of": "small"}}, CLASSES)[1].passed
    assert tried({"example": {"rows": [{"size": 11}], "answer": "big"}}, CLASSES)[1].passed
    assert not tried({"example": {"rows": [{"size": 1}], "answer": "big"}}, CLASSES)[1].passed
    assert tried({"example": {"rows": [{"size": 1}], "of": "small", "min": 0.9}}, CLASSES)[1].passed


@pytest.mark.parametrize(
    ("test", "asked", "said"),
    [
        ({"invariance": {"feature": "color", "values": ["reed"]}}, BINARY, "never saw `reed`"),
        ({"example": {"rows": [{"color": "reed"}], "min": 0}}, BINARY, "never saw `reed`"),
        ({"example": {"rows": [{}], "answer": "huge"}}, CLASSES, "no class `huge`"),
        ({"direction": {"feature": "size", "factor": 2, "score": "up"}}, BINARY, "no test row"),
    ],
)
def test_what_cannot_be_tried_is_not_passed(test: dict[str, Any], asked: Asked, said: str):
    _, check = tried(test, asked, ROWS.with_columns(size=pl.lit(0.0)))
    assert not check.passed and said in check.note


def test_what_was_not_tried_is_not_passed():
    test = BehaviourTest.model_validate({"example": {"rows": [{}], "min": 0}})
    assert [check.passed for check in behaviour_checks({"it": test}, None)] == [False]
    assert [check.passed for check in behaviour_checks({"it": test}, Behaviour(tried={}))] == [False]


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("direction: {feature: distanse, add: 1, score: up}", "`distanse` is no feature; there are origin, distance"),
        ("direction: {feature: origin, add: 1, score: up}", "cannot be raised"),
        ("direction: {feature: distance, score: up}", "exactly one of `add` and `factor`"),
        ("direction: {feature: distance, add: 0, score: up}", "changes nothing"),
        ("direction: {feature: distance, add: 1, score: up, of: x}", "`of` is for"),
        ("invariance: {feature: origin, values: [1]}", "`origin` is text"),
        ("invariance: {feature: distance, values: [far]}", "`distance` is a number"),
        ("example: {rows: [{distance: 3}]}", "give `min`, `max` or `answer`"),
        ("example: {rows: [{distance: 3}], answer: late}", "true or false"),
        ("example: {rows: [{late: true}], min: 0}", "`late` is no feature"),
        ("{}", "exactly one of `direction`"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(test: str, said: str):
    with pytest.raises(ConfigError) as caught:
        parse(f"{GOOD}behaviour:\n  far:\n    {test}\n", "configs/flights.yaml")
    assert said in caught.value.text()


def test_a_multiclass_score_needs_its_class():
    text = GOOD.replace("train:\n", "train:\n  task: multiclass\n").replace("auc: {min", "macro_f1: {min")
    text += "behaviour:\n  far:\n    direction: {feature: distance, add: 1, score: up}\n"
    with pytest.raises(ConfigError, match="by `of`"):
        parse(text, "configs/flights.yaml")
