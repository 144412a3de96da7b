"""A batch's name says which rows it has, exactly, and is a file's name."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from penstock.watermark import batch_name, bounds, last_mark
from tasks.data.ingestion import NAME

MARKS = st.one_of(
    st.integers(0, 10**18),
    st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2200, 1, 1)),
    st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC)),
    st.dates(),
    st.text(min_size=1, max_size=5),
)


@given(MARKS, st.booleans())
def test_names_are_file_names_and_give_their_marks_back(mark, first):
    name = batch_name(None if first else mark, mark)
    assert NAME.fullmatch(name)
    assert bounds(name) == (None if first else mark, mark)


def test_the_last_mark_is_the_highest_whatever_the_order_of_names():
    names = {batch_name(None, 9), batch_name(9, 100), batch_name(100, 2000), "all"}
    assert last_mark(names) == 2000
    assert last_mark(set()) is None


@pytest.mark.parametrize("mark", [1.5, True, None, b"x", "x" * 200])
def test_what_has_no_order_is_no_watermark(mark):
    with pytest.raises(DataError):
        batch_name(None, mark)
