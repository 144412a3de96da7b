"""Splits: shares, no overlap, time order, whole groups, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import split as rules
from penstock.config import SplitConfig
from penstock.errors import DataError

HOUR = 3_600_000_000


@given(st.lists(st.integers(0, 500), min_size=1, max_size=200), st.floats(0, 72))
@settings(max_examples=200)
def test_by_time_later_rows_are_never_in_an_earlier_split(hours: list[int], gap: float) -> None:
    time = np.array(hours, np.int64) * HOUR
    part = rules.by_time(time, SplitConfig(gap_hours=gap))
    train, validation, test = (time[part == number] for number in range(3))
    for earlier, later in ((train, validation), (validation, test), (train, test)):
        if len(earlier) and len(later):
            assert earlier.max() < later.min()
            if gap:
                assert later.min() - earlier.max() > gap * HOUR - HOUR


def test_by_time_shares_and_gap() -> None:
    time = np.arange(1000) * HOUR
    part = rules.by_time(time, SplitConfig(validation=0.2, test=0.1))
    assert [int((part == number).sum()) for number in range(4)] == [700, 200, 100, 0]
    part = rules.by_time(time, SplitConfig(validation=0.2, test=0.1, gap_hours=24))
    assert [int((part == number).sum()) for number in range(4)] == [676, 176, 100, 48]


def test_random_and_stratified_shares_are_exact_and_repeat() -> None:
    config = SplitConfig(validation=0.2, test=0.1)
    label = np.arange(1000) % 10 == 0
    for part in (rules.at_random(1000, config), rules.stratified(label, config)):
        assert [int((part == number).sum()) for number in range(3)] == [700, 200, 100]
    assert [int((label & (rules.stratified(label, config) == number)).sum()) for number in range(3)] == [70, 20, 10]
    assert (rules.at_random(1000, config) == rules.at_random(1000, config)).all()
    assert (rules.at_random(1000, config) != rules.at_random(1000, config.model_copy(update={"seed": 8}))).any()


def test_groups_stay_whole() -> None:
    group = np.repeat(np.arange(100), np.arange(100) % 7 + 1)
    part = rules.by_group(group, SplitConfig(validation=0.2, test=0.2))
    assert all(len(np.unique(part[group == one])) == 1 for one in range(100))
    assert 0.1 < (part == rules.TEST).mean() < 0.3


@pytest.mark.parametrize(
    ("positives", "rows", "said"),
    [
        ((0, 0, 0), (70, 20, 10), "the same in all 100 rows"),
        ((70, 20, 10), (70, 20, 10), "the same in all 100 rows"),
        ((7, 2, 0), (70, 20, 10), "The test split"),
        ((7, 20, 1), (70, 20, 10), "The validation split"),
        ((7, 2, 0), (70, 20, 0), "The test split"),
    ],
)
def test_a_split_without_both_classes_is_refused(positives: tuple[int, ...], rows: tuple[int, ...], said: str) -> None:
    names = ("train", "validation", "test")
    with pytest.raises(DataError, match=said):
        rules.require_both_classes(
            dict(zip(names, positives, strict=True)), dict(zip(names, rows, strict=True)), "late"
        )
    rules.require_both_classes(dict.fromkeys(names, 1), dict.fromkeys(names, 10), "late")
