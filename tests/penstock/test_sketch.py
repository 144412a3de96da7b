"""Summaries hold the distribution they were made of, at every value and between values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.sketch import ColumnSummary, category_summary, number_summary, shares

numbers = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=800)


@given(numbers, st.lists(st.floats(-2e6, 2e6, width=32), min_size=1, max_size=20))
def test_shares_are_those_of_the_values_within_the_rank_error(values, at):
    summary = number_summary("x", np.array(values))
    where = np.array(sorted({*at, *values[:20]}))
    below, upto = shares(summary, where)
    exact = np.sort(values)
    least, most = (np.searchsorted(exact, where, side) / len(exact) for side in ("left", "right"))
    assert np.abs(below - least).max() <= summary.rank_error + 1e-9
    assert np.abs(upto - most).max() <= summary.rank_error + 1e-9
    assert (below <= upto).all() and (np.diff(upto) >= 0).all()


def test_a_column_of_few_distinct_values_is_exact():
    summary = number_summary("x", np.repeat([0.0, 1.0, 5.0], [900, 90, 10]))
    assert summary.rank_error == 0
    below, upto = shares(summary, np.array([-1.0, 0.0, 0.5, 1.0, 5.0, 6.0]))
    assert below == pytest.approx([0, 0, 0.9, 0.9, 0.99, 1])
    assert upto == pytest.approx([0, 0.9, 0.9, 0.99, 1, 1])


def test_many_values_take_a_bounded_grid():
    summary = number_summary("x", np.random.default_rng(1).normal(size=100_000))
    assert len(summary.points) <= 513 and 0 < summary.rank_error <= 1 / 512
    assert summary.mean == pytest.approx(0, abs=0.02) and summary.deviation == pytest.approx(1, abs=0.02)


@given(numbers, st.randoms())
def test_the_order_of_rows_does_not_matter(values, shuffle):
    again = list(values)
    shuffle.shuffle(again)
    one, other = number_summary("x", np.array(values)), number_summary("x", np.array(again))
    assert (one.points, one.below, one.upto) == (other.points, other.below, other.upto)


def test_float32_and_float64_of_one_reading_are_one_value():
    readings = np.array([39.02, 41.0, 44.96])
    assert number_summary("t", readings).points == number_summary("t", readings.astype(np.float32)).points


def test_what_is_no_number_has_no_place():
    summary = number_summary("x", np.array([1.0, np.nan, np.inf, -np.inf, 1e300]), nulls=2)
    assert (summary.rows, summary.nulls, summary.numbers, summary.values) == (7, 3, 2, 2)
    assert dict(summary.types) == {"number": 4}
    assert np.isfinite(summary.points).all()


def test_nothing_at_all():
    for summary in (number_summary("x", np.array([])), number_summary("x", np.array([np.nan]))):
        assert summary.type is None and summary.values == 0
    assert category_summary("c", {}, nulls=3).rows == 3


def test_categories_come_by_frequency_and_summaries_survive_json():
    summary = category_summary("c", {"b": 1, "a": 5, "c": 1})
    assert summary.levels == (("a", 5), ("b", 1), ("c", 1)) and summary.type == "text"
    assert ColumnSummary.model_validate_json(summary.model_dump_json()) == summary
    number = number_summary("x", np.arange(1000.0))
    assert ColumnSummary.model_validate_json(number.model_dump_json()) == number
