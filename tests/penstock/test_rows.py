"""The server's reader of rows: what it accepts, what it says, and that it means what training means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from penstock.config import FeaturesConfig, PackageConfig
from penstock.rows import SHOWN, Coded, Numbers, RowErrors, RowReader
from penstock.schema import compile_spec, parse_schema

SCHEMA = """
columns:
  id: {dtype: String, unique: true}
  color: {dtype: String, isin: [red, green, blue]}
  code: {dtype: String, nullable: true, str_matches: "^[A-Z]{2}$"}
  size: {dtype: Float32, in_range: {min_value: 0.1, max_value: 100, include_max: false}}
  seats: {dtype: Int16, nullable: true, ge: 0}
  wet: {dtype: Boolean}
  late: {dtype: Boolean}
"""
FEATURES = FeaturesConfig(label="late", categorical=("color", "code"), numeric=("size", "seats", "wet"))
CATEGORIES = {"color": ["blue", "red"], "code": ["AA", "BB"]}
GOOD = {"color": "red", "code": "AA", "size": 5.5, "seats": 3, "wet": True}


def reader(**package) -> RowReader:
    config = PackageConfig(purpose="x", **package)
    return RowReader(compile_spec(parse_schema(SCHEMA, "s.yaml"), FEATURES, CATEGORIES, config))


def problem(row, **package) -> tuple[str, str]:
    with pytest.raises(RowErrors) as caught:
        reader(**package).read([row])
    (found,) = caught.value.problems
    return found.field, found.message


def test_a_good_row_is_encoded_in_the_models_order():
    encoded = reader().read([GOOD])
    np.testing.assert_array_equal(encoded.matrix, np.array([[1, 0, 5.5, 3, 1]], np.float32))
    assert encoded.unknown == {}


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"size": None}, "size", "is required"),
        ({"size": "5"}, "size", "must be a number, not text"),
        ({"size": True}, "size", "must be a number, not true or false"),
        ({"size": [5]}, "size", "must be a number, not a list"),
        ({"size": float("nan")}, "size", "finite"),
        ({"size": float("inf")}, "size", "finite"),
        ({"size": 1e39}, "size", "finite"),
        ({"size": 10**400}, "size", "finite"),
        ({"size": 0.0999}, "size", "at least 0.1"),
        ({"size": 100}, "size", "less than 100"),
        ({"seats": -1}, "seats", "at least 0"),
        ({"seats": 40_000}, "seats", "from -32768 to 32767"),
        ({"seats": 2.5}, "seats", "whole number"),
        ({"wet": 1}, "wet", "must be true or false"),
        ({"color": 3}, "color", "must be text, not a number"),
        ({"color": ["red"]}, "color", "must be text, not a list"),
        ({"color": {"red": 1}}, "color", "must be text, not an object"),
        ({"wet": [True]}, "wet", "must be true or false, not a list"),
        ({"seats": {}}, "seats", "must be a number, not an object"),
        ({"color": "mauve"}, "color", "one of blue, green, red"),
        ({"code": "AAA"}, "code", "must match ^[A-Z]{2}$"),
        ({"code": "AA\n"}, "code", "must match"),
        ({"colour": "red"}, "colour", "is not a field"),
    ],
)
def test_a_bad_value_is_named_by_field_without_repeating_it(change, field, said):
    found, message = problem({**GOOD, **change})
    assert found == field
    assert said in message
    assert "mauve" not in message
    assert "AAA" not in message


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0.1},
        {"size": 99.99},
        {"seats": None},
        {"seats": 32_767},
        {"seats": 4.0},
        {"code": None},
        {"wet": False},
    ],
)
def test_values_on_the_right_side_of_a_bound_pass(change):
    reader().read([{**GOOD, **change}])


def test_a_nullable_field_may_be_left_out_and_others_may_not():
    row = {key: value for key, value in GOOD.items() if key not in ("seats", "code")}
    assert np.isnan(reader().read([row]).matrix[0, [1, 3]]).all()
    assert problem({key: value for key, value in GOOD.items() if key != "wet"}) == ("wet", "is required")


def test_the_label_and_other_columns_of_the_schema_are_accepted_and_ignored():
    assert (reader().read([{**GOOD, "late": True, "id": "7"}]).matrix == reader().read([GOOD]).matrix).all()


def test_an_unknown_category_is_missing_and_counted_or_refused():
    encoded = reader().read([{**GOOD, "color": "green"}] * 2)  # allowed by the schema, not seen in training
    assert np.isnan(encoded.matrix[:, 0]).all()
    assert encoded.unknown == {"color": 2}
    field, said = problem({**GOOD, "color": "green"}, unknown_category="reject")
    assert (field, "training data did not have" in said) == ("color", True)


def test_problems_name_their_row_and_are_capped():
    rows = [GOOD, {**GOOD, "size": -1}, GOOD, {**GOOD, "wet": None, "size": -1}]
    with pytest.raises(RowErrors) as caught:
        reader().read(rows)
    assert [(found.row, found.field) for found in caught.value.problems] == [(1, "size"), (3, "size"), (3, "wet")]
    with pytest.raises(RowErrors) as caught:
        reader().read([{**GOOD, "size": -1}] * 50)
    assert (len(caught.value.problems), caught.value.total) == (20, 50)


@pytest.mark.parametrize("row", [3, "row", None, [1]])
def test_a_row_that_is_no_object(row):
    with pytest.raises(RowErrors, match="1 problem"):
        reader().read([row])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"size": -1.0},
        {"seats": None},
        {"seats": math.nan},
        {"code": "zz"},
        {"wet": 1},
        {"color": []},
        {"color": {}},
    ],
)
def test_many_rows_are_read_as_one_by_one(change):
    """Few rows go through a loop, many through NumPy: both must say the same."""
    rows = [{**GOOD, "size": 0.1 + number, "seats": number} for number in range(30)]
    rows[17] |= change
    whole = single = None
    try:
        whole = reader().read(rows).matrix
    except RowErrors as errors:
        whole = [(found.row, found.field, found.message) for found in errors.problems]
    try:
        single = np.concatenate([reader().read([row]).matrix for row in rows])
    except RowErrors as errors:
        single = [(17, found.field, found.message) for found in errors.problems]
    np.testing.assert_array_equal(np.array(whole), np.array(single))


@pytest.mark.parametrize("value", [2**53 + 1, 2**60 + 2**36 + 1, 2**64 - 1])
def test_an_integer_beyond_float64_is_rounded_once(value):
    """By way of float64 it would become the float32 next to the nearest, and training rounds directly."""
    text = "columns:\n  n: {dtype: UInt64, notin: [9007199254740992]}\n  late: {dtype: Boolean}\n"
    features = FeaturesConfig(label="late", numeric=("n",))
    spec = compile_spec(parse_schema(text, "s.yaml"), features, {}, PackageConfig(purpose="x"))
    (found,) = RowReader(spec).read([{"n": value}]).matrix[0]
    assert found == np.array(value, np.uint64).astype(np.float32)


def test_a_bound_is_said_in_full():
    text = "columns:\n  n: {dtype: Int32, le: 1234567}\n  late: {dtype: Boolean}\n"
    features = FeaturesConfig(label="late", numeric=("n",))
    spec = compile_spec(parse_schema(text, "s.yaml"), features, {}, PackageConfig(purpose="x"))
    with pytest.raises(RowErrors) as caught:
        RowReader(spec).read([{"n": 1234568}])
    assert caught.value.problems[0].message == "must be at most 1234567"


def good_columns(rows: int) -> dict[str, Numbers | Coded]:
    none = np.zeros(rows, bool)
    return {
        "color": Coded(["red", "green"], np.arange(rows) % 2),
        "size": Numbers(np.full(rows, 5.5, np.float32), none),
        "seats": Numbers(np.arange(rows, dtype=np.int16), np.arange(rows) == 1),
        "wet": Coded([False, True], np.ones(rows, np.int8)),
        "late": Coded([None], np.zeros(rows, int)),
    }


def column_problems(**changes) -> list[tuple[int, str, str]]:
    with pytest.raises(RowErrors) as caught:
        reader().read_columns({**good_columns(4), **changes}, 4)
    return [(found.row, found.field, found.message) for found in caught.value.problems]


def test_columns_are_encoded_as_rows_are():
    encoded = reader().read_columns(good_columns(3), 3)
    nan = math.nan
    wanted = np.array([[1, nan, 5.5, 0, 1], [nan, nan, 5.5, nan, 1], [1, nan, 5.5, 2, 1]], np.float32)
    np.testing.assert_array_equal(encoded.matrix, wanted)
    assert encoded.unknown == {"color": 1}


def test_a_bad_value_of_a_column_is_named_by_row():
    bad = np.array([1, math.nan, math.inf, 1000])
    finite = "must be a finite number that a 32-bit float can hold"
    assert column_problems(size=Numbers(bad, np.zeros(4, bool))) == [
        (1, "size", finite), (2, "size", finite), (3, "size", "must be less than 100")
    ]  # fmt: skip
    assert column_problems(size=Numbers(np.ones(4), np.arange(4) == 2)) == [(2, "size", "is required")]
    assert column_problems(color=Numbers(np.ones(4), np.arange(4) < 3))[-1] == (
        3,
        "color",
        "must be text, not a number",
    )
    texts = Coded(["5", "unused"], np.array([-1, 0, -1, -1]))
    assert column_problems(seats=texts) == [(1, "seats", "must be a number, not text")]
    assert column_problems(sise=texts) == [(0, "sise", "is not a field of this model")]


def test_a_column_that_is_not_there_is_one_of_nulls():
    columns = good_columns(2)
    del columns["seats"]
    assert np.isnan(reader().read_columns(columns, 2).matrix[:, 3]).all()
    del columns["wet"]
    with pytest.raises(RowErrors) as caught:
        reader().read_columns(columns, 2)
    assert [(found.row, found.field, found.message) for found in caught.value.problems] == [
        (0, "wet", "is required"), (1, "wet", "is required")
    ]  # fmt: skip


def test_a_refusal_of_very_many_problems_stays_small():
    rows = [{**GOOD, **{"x" * 1000 + str(number): 1 for number in range(100)}}] * 50
    with pytest.raises(RowErrors) as caught:
        reader().read(rows)
    assert (caught.value.total, len(caught.value.problems)) == (5000, SHOWN)
    assert max(len(found.field) for found in caught.value.problems) == 100
