"""Each trap of a real table, and what is made of it."""

from __future__ import annotations

import polars as pl
import pytest

from penstock.infer_names import clean_names
from penstock.infer_values import infer_values, missing_words, number_style
from penstock.reading import as_text
from penstock.source_config import SourceConfig

TIME = "Datetime(time_unit='us')"


def inferred(values, name="x"):
    series = pl.Series(name, values)
    source = SourceConfig(call="a:b", missing=missing_words([series]))
    text = as_text(series, source)
    decimal, thousands = number_style([text]) if text.dtype == pl.String else (".", None)
    source = SourceConfig(call="a:b", missing=source.missing, decimal=decimal, thousands=thousands)
    return infer_values(text, name, source), source


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["1", "2"], "Int64"), (["1", " 2 "], "Int64"), (["1.0", "2.0"], "Float64"), (["1", "2.5"], "Float64"),
        (["1", "?", "NA", "", "n/a"], "Int64"), (["1.5", "-"], "Float64"), (["1e5", "2"], "Float64"),
        (["1.234,5", "2,5"], "Float64"), (["1,234", "567"], "Int64"), (["$1,200.00", "$3"], "Float64"),
        (["1 234,5", "12"], "Float64"), (["12%", "15%"], "Int64"), (["007", "012"], "String"), (["0", "10"], "Int64"),
        (["0.5", "0"], "Float64"), (["yes", "No"], "Boolean"), (["Y", "n", "?"], "Boolean"),
        (["TRUE", "false"], "Boolean"),
        (["ja", "nein"], "Boolean"), (["yes", "no", "maybe"], "String"), (["yes", "yes"], "String"),
        (["0", "1"], "Int64"),
        (["2024-01-31", "2024-02-01"], TIME), (["31.01.2024 10:00", "01.02.2024 11:30"], TIME),
        (["31/01/2024", "01/02/2024"], TIME), (["3 Jan 2024", "14 Feb 2024"], TIME), (["01/31/2024 5:06 PM"], TIME),
        (["2024-01-31T10:00:00Z", "2024-01-31T10:00:00.5+02:00"], TIME), (["10:30", "11:45"], "String"),
        (["20240131", "20240201"], "Int64"), (["a", "b"], "String"), (["", None], "String"),
        (["1.2.3", "4.5.6"], "String"),
        (["99999999999999999999", "5"], "Float64"), (["31.01.24", "01.02.24"], TIME),
        ([1, 2], "Int64"), ([1.0, None], "Int64"), ([1.5, 2.0], "Float64"), ([True, None], "Boolean"),
        ([None, None], "String"),
    ],
)  # fmt: skip
def test_types(values, dtype):
    assert inferred(values)[0].dtype == dtype


def test_several_formats_of_times_in_one_column():
    found, _ = inferred(["31.01.2024", "2024-02-01 10:00", "1.2.2024"])
    assert found.dtype == TIME
    assert set(found.formats) == {"%d.%m.%Y", "%Y-%m-%d %H:%M"}
    assert found.unread == 0


@pytest.mark.parametrize(
    ("values", "form", "ambiguous"),
    [
        (["13/01/2024", "01/02/2024"], "%d/%m/%Y", False),
        (["01/13/2024", "01/02/2024"], "%m/%d/%Y", False),
        (["01/02/2024", "03/04/2024"], "%m/%d/%Y", True),
        (["01-02-2024", "03-04-2024"], "%d-%m-%Y", True),
    ],
)
def test_day_or_month_first(values, form, ambiguous):
    found, _ = inferred(values)
    assert found.formats == (form,)
    assert ("day or month first" in found.check) == ambiguous


def test_a_number_that_its_name_calls_a_time_is_one():
    assert inferred([1_700_000_000, 1_700_000_500], "created_at")[0].formats == ("epoch s",)
    assert inferred(["1700000000000", "1700000500000"], "ts")[0].formats == ("epoch ms",)
    assert inferred(["20240131", "20240201"], "day")[0].formats == ("%Y%m%d",)
    assert inferred([1_700_000_000, 1_700_000_500], "balance")[0].dtype == "Int64"


def test_words_for_nothing_are_those_that_cannot_be_values():
    assert inferred(["1", "NA", "-"])[1].missing == ("-", "NA")
    assert inferred(["red", "NA", "-", "None"])[1].missing == ("NA",)
    assert inferred(["2024-01-31", "unknown", "2024-02-01"])[1].missing == ("unknown",)


def test_a_mixed_column_is_text_and_says_so_and_a_few_odd_ones_are_set_aside():
    found, _ = inferred([*map(str, range(70)), *("abcdefghij" * 3)])
    assert (found.dtype, "70%" in found.check and "mixed" in found.check) == ("String", True)
    found, _ = inferred([*map(str, range(300)), "oops"])
    assert (found.dtype, found.unread) == ("Int64", 1)
    assert "'oops'" in found.check


def test_one_style_for_the_whole_table():
    plain, comma = pl.Series(["1.234", "5.678"]), pl.Series(["1,5", "2,75"])
    assert number_style([plain]) == (".", None)
    assert number_style([plain, comma]) == (",", ".")
    assert "1,234 is read as 1234" in inferred(["1,234", "567"])[0].check


def test_names_become_such_that_every_tool_takes_them():
    names = ["ok", "Order ID", "Größe (m²)", "a-b", "a b", "%", "2020", "why", "Straße", "日本", "x (2)"]
    assert list(clean_names(names).values()) == [
        "ok", "order_id", "grosse_m2", "a_b", "a_b_2", "percent", "c_2020", "why_2", "strasse", "column_10", "x_2",
    ]  # fmt: skip
