"""Rows that the schema does not allow are counted once each, and are too many or not."""

from __future__ import annotations

import polars as pl
import pytest

from penstock.errors import DataError
from penstock.refused_rows import RefusedRows


def lines(*found: tuple[int, str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        [(row, column, "bad", value) for row, column, value in found],
        schema=["row", "column", "reason", "value"],
        orient="row",
    )


def test_a_row_with_two_faults_is_one_row_and_the_worst_reason_comes_first():
    found = RefusedRows("f.csv", most=0.02, none=False)
    found.add(lines((3, "size", "1000"), (3, "color", "pink")))
    found.require_few(50)
    found.add(lines((7, "size", "2000")))
    assert found.rows == 2
    with pytest.raises(DataError) as error:
        found.require_few(50)
    assert "2 of 50 rows (4.0%)" in error.value.what
    assert error.value.found.startswith("size: bad, 2 rows, such as row 3: 1000; color: bad, 1 rows")


def test_not_one_is_allowed_under_fail():
    found = RefusedRows("f.csv", most=1.0, none=True)
    found.require_few(10)
    found.add(lines((0, "size", "1000")))
    with pytest.raises(DataError, match="1 of 10"):
        found.require_few(10)
