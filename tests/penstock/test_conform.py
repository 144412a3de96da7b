"""What other programs write as a column, brought to the schema's type; what is no value of it is null."""

from __future__ import annotations

import datetime
import math

import polars as pl
import pytest

from penstock.conform import conformed, fits

DAY = datetime.datetime(2024, 3, 1, 12)


@pytest.mark.parametrize(
    ("given", "wanted", "expected"),
    [
        (pl.Series([1, 40_000, None]), pl.Int16(), [1, None, None]),
        (pl.Series([1.0, 1.5, math.nan]), pl.Int16(), [1, None, None]),
        (pl.Series([0.5, math.nan, None]), pl.Float32(), [0.5, None, None]),
        (pl.Series(["7", " 7.0", "7.5", "x", "NaN", None]), pl.Int16(), [7, 7, None, None, None, None]),
        (pl.Series(["0.5", " 1e3 ", "NaN", "x"]), pl.Float32(), [0.5, 1000.0, None, None]),
        (pl.Series(["True", "f", "1", "maybe"]), pl.Boolean(), [True, False, True, None]),
        (pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])), pl.String(), ["a", "b"]),
        (pl.Series([DAY], dtype=pl.Datetime("ns", "UTC")), pl.Datetime("us"), [DAY]),
        (pl.Series(["2024-03-01 12:00:00", "March"]), pl.Datetime("us"), [DAY, None]),
        (pl.Series([DAY, DAY.replace(hour=0), None]), pl.Date(), [None, DAY.date(), None]),
        (pl.Series([DAY.replace(hour=0)]).dt.replace_time_zone("Europe/Berlin"), pl.Date(), [None]),
    ],
)
def test_values_of_a_type_and_none(given, wanted, expected):
    found = conformed(given, wanted)
    assert found.dtype == wanted
    assert found.to_list() == expected


def test_a_column_of_the_right_type_is_not_copied():
    values = pl.Series([1, 2], dtype=pl.Int16)
    assert conformed(values, pl.Int16()) is values


@pytest.mark.parametrize(
    ("found", "wanted", "text", "fit"),
    [
        (pl.Int64(), pl.Float32(), False, True),
        (pl.Float64(), pl.Int16(), False, True),
        (pl.Boolean(), pl.Int16(), False, False),
        (pl.String(), pl.Int16(), False, False),
        (pl.String(), pl.Int16(), True, True),
        (pl.Int64(), pl.String(), False, False),
        (pl.Categorical(), pl.String(), False, True),
        (pl.Date(), pl.Datetime("us"), False, True),
        (pl.Int64(), pl.Datetime("us"), False, False),
        (pl.Null(), pl.Int16(), False, True),
    ],
)
def test_which_types_can_be_right(found, wanted, text, fit):
    assert fits(found, wanted, text=text) is fit
