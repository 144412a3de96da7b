"""Values are read by written rules alone; what does not fit is reported with its row, never guessed."""

from __future__ import annotations

import datetime

import polars as pl
import pytest

from penstock.columns import Column
from penstock.errors import DataError
from penstock.reading import as_text, datetimes, integers, numbers, read_columns, typed_column, unique_names
from penstock.source_config import SourceConfig

PLAIN = SourceConfig(call="a:b")
GERMAN = SourceConfig(call="a:b", decimal=",", thousands=".")
ENGLISH = SourceConfig(call="a:b", thousands=",")
FRENCH = SourceConfig(call="a:b", decimal=",", thousands=" ")
SWISS = SourceConfig(call="a:b", thousands="'")


@pytest.mark.parametrize(
    ("source", "text", "number"),
    [
        (PLAIN, "1.5", 1.5), (PLAIN, "1,5", None), (PLAIN, "1e3", 1000.0), (PLAIN, "-2", -2.0), (PLAIN, "12%", 12.0),
        (PLAIN, "$3.50", 3.5), (PLAIN, "-€ 3", -3.0), (PLAIN, "3 €", 3.0), (PLAIN, "x", None), (PLAIN, "1 2", None),
        (PLAIN, "inf", None), (PLAIN, "1e39", None),
        (GERMAN, "1.234,5", 1234.5), (GERMAN, "1.234", 1234.0), (GERMAN, "1.5", None), (GERMAN, "12.34", None),
        (GERMAN, "1.234.567", 1234567.0), (GERMAN, "0,5", 0.5), (GERMAN, "-1.000,00", -1000.0),
        (ENGLISH, "1,234.5", 1234.5), (ENGLISH, "1,5", None), (ENGLISH, "12,34", None), (ENGLISH, "$1,200.00", 1200.0),
        (FRENCH, "1 234,5", 1234.5), (FRENCH, "1\u00a0234", 1234.0), (FRENCH, "1\u202f234,5", 1234.5),
        (SWISS, "1'234.5", 1234.5), (SWISS, "1’234", 1234.0),
    ],
)  # fmt: skip
def test_numbers_are_read_in_their_style_only(source, text, number):
    assert numbers(pl.Series([text]), source).to_list() == [number]


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12), ("12.0", 12), ("12.5", None), ("x", None), ("9007199254740993", 9007199254740993), ("1e40", None)],
)
def test_whole_numbers_stay_exact(text, number):
    assert integers(pl.Series([text]), PLAIN).to_list() == [number]


def test_times_are_read_by_the_first_format_that_fits_and_become_utc():
    found = datetimes(pl.Series(["31.01.2024", "2024-02-01", "32.01.2024", None]), ["%d.%m.%Y", "%Y-%m-%d"])
    assert found.to_list() == [datetime.datetime(2024, 1, 31), datetime.datetime(2024, 2, 1), None, None]
    zoned = datetimes(pl.Series(["2024-01-31T10:00:00+02:00", "2024-01-31T10:00:00Z"]), ["%Y-%m-%dT%H:%M:%S%.f%#z"])
    assert zoned.to_list() == [datetime.datetime(2024, 1, 31, 8), datetime.datetime(2024, 1, 31, 10)]
    short = datetimes(pl.Series(["31.01.2024", "31.01.24", "1.2.3"]), ["%d.%m.%Y", "%d.%m.%y"])
    assert short.to_list() == [datetime.datetime(2024, 1, 31)] * 2 + [None]
    assert datetimes(pl.Series(["86400"]), ["epoch s"]).to_list() == [datetime.datetime(1970, 1, 2)]
    typed = pl.Series([datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)])
    assert datetimes(typed.dt.convert_time_zone("Asia/Tokyo"), []).to_list() == [datetime.datetime(2024, 1, 1, 12)]


def test_blanks_and_words_are_missing_and_spaces_are_no_part_of_a_value():
    source = SourceConfig(call="a:b", missing=("?", "NA"))
    assert as_text(pl.Series([" a ", " ", "?", "NA", "na", None]), source).to_list() == [
        "a",
        None,
        None,
        None,
        "na",
        None,
    ]


def test_what_cannot_be_read_is_null_and_named_with_its_row():
    columns = {"n": Column(dtype="Int64", nullable=True), "b": Column(dtype="Boolean"), "t": Column(dtype="String")}
    source = SourceConfig(call="a:b", rename={"The N": "n"}, ignore=("junk",))
    frame = pl.DataFrame(
        {"t": ["x", "y", "z"], "The N": ["1", "two", ""], "b": ["Yes", "n", "perhaps"], "junk": [1, 2, 3]}
    )
    rows, unread = read_columns(frame, columns, source, "here")
    assert rows.columns == ["n", "b", "t"]
    assert rows.rows() == [(1, True, "x"), (None, False, "y"), (None, None, "z")]
    assert [(each.column, each.rows, each.examples) for each in unread] == [
        ("n", [1], ["two"]),
        ("b", [2], ["perhaps"]),
    ]


def test_types_of_the_source_are_cast_to_those_of_the_schema():
    columns = {"a": Column(dtype="Int64", nullable=True), "b": Column(dtype="Boolean"), "c": Column(dtype="String")}
    frame = pl.DataFrame({"a": [1.0, None], "b": [1, 0], "c": [7, 8]})
    rows, unread = read_columns(frame, columns, PLAIN, "here")
    assert rows.rows() == [(1, True, "7"), (None, False, "8")]
    assert not unread


@pytest.mark.parametrize(
    ("frame", "said"), [({"a": ["1"]}, "missing: b"), ({"a": ["1"], "b": ["1"], "c": ["1"]}, "not known: c")]
)
def test_other_columns_than_the_schemas_are_refused_by_name(frame, said):
    columns = {"a": Column(dtype="Int64"), "b": Column(dtype="Int64")}
    with pytest.raises(DataError) as caught:
        read_columns(pl.DataFrame(frame), columns, PLAIN, "here")
    assert said in caught.value.found


def test_names_that_stand_twice_or_are_blank_are_made_unique():
    assert unique_names(["x", "x", "", "x (2)", " x "]) == ["x", "x (2)", "column 3", "x (2) (2)", "x (3)"]


@pytest.mark.parametrize("missing", [(), ("NA",), ("-999",)])
@pytest.mark.parametrize("dtype", ["Int8", "Int64", "Float32", "Float64"])
@pytest.mark.parametrize(
    "values", [["1", "2"], ["1", "-999"], ["1", "300"], ["1", "1.5"], ["1", "nan"], ["1", "inf"], ["1", "1e300"],
               [" 1", "2"], ["1", ""], ["1", None], ["1", "NA"], ["+1", "2"], ["1e2", "2"], ["$1", "2"]],
)  # fmt: skip
def test_the_short_way_to_numbers_leads_where_the_long_one_does(values, dtype, missing):
    source = SourceConfig(call="a:b", missing=missing)
    frame = pl.DataFrame({"x": values}, schema={"x": pl.String})
    text = as_text(frame["x"], source)
    wanted = typed_column(text, "x", dtype, source)
    rows, unread = read_columns(frame, {"x": Column(dtype=dtype)}, source, "here")
    assert rows["x"].to_list() == wanted.to_list()
    assert rows["x"].dtype == wanted.dtype
    assert [row for each in unread for row in each.rows] == (text.is_not_null() & wanted.is_null()).arg_true().to_list()
