"""A column's verdict: planted shifts are alarms, their clean twins are not, and what cannot be judged says why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.drift import ColumnDrift, compare, compare_predictions
from penstock.levels import binned, pooled
from penstock.monitor_config import MonitorConfig
from penstock.sketch import ColumnSummary, category_summary, number_summary

CONFIG = MonitorConfig()
ALPHA = 0.01 / 30
draws = np.random.default_rng(7)
LETTERS = tuple("abcdefgh")
NORMAL = number_summary("x", draws.normal(10, 2, 60_000))


def text(shares, n: int, name: str = "c", levels=LETTERS) -> ColumnSummary:
    return category_summary(name, dict(zip(levels, draws.multinomial(n, shares).tolist(), strict=False)))


def judged(reference: ColumnSummary, window: ColumnSummary, config: MonitorConfig = CONFIG) -> ColumnDrift:
    return compare(reference, window, config, ALPHA)


@pytest.mark.parametrize("n", [500, 5000, 50_000])
def test_a_shifted_number_is_an_alarm_and_its_clean_twin_is_none(n):
    values = draws.normal(10, 2, n)
    assert not judged(NORMAL, number_summary("x", values)).alarm
    moved = judged(NORMAL, number_summary("x", values + 0.8))
    assert moved.alarm and moved.worst > 1 and "ks 0." in moved.reason


@pytest.mark.parametrize("n", [500, 5000, 50_000])
def test_a_moved_category_is_an_alarm_and_its_clean_twin_is_none(n):
    shares = [0.3, 0.2, 0.15, 0.15, 0.1, 0.05, 0.03, 0.02]
    reference = text(shares, 60_000)
    assert not judged(reference, text(shares, n)).alarm
    moved = judged(reference, text([0.15, 0.35, *shares[2:]], n))
    assert moved.alarm and "psi" in moved.reason


def test_psi_alone_sees_a_spread_that_widens():
    draw = np.random.default_rng(8)
    config = MonitorConfig(ks=0.4)
    clean, wide = draw.normal(10, 2, 5000), draw.normal(10, 4, 5000)
    assert not judged(NORMAL, number_summary("x", clean), config).alarm
    found = judged(NORMAL, number_summary("x", wide), config)
    assert found.alarm and found.reason.startswith("psi")


def test_many_rare_categories_in_a_small_window_are_no_alarm():
    levels = [f"airport {number}" for number in range(104)]
    shares = 1 / np.arange(1, 105)
    shares /= shares.sum()
    reference = text(shares, 160_000, levels=levels)
    assert not any(judged(reference, text(shares, 500, levels=levels)).alarm for _ in range(100))


def test_a_category_that_was_never_seen_before_is_seen_and_divides_by_nothing():
    reference = text([0.5, 0.5], 10_000, levels="ab")
    window = category_summary("c", {"a": 300, "b": 300, "z": 400})
    assert judged(reference, window).alarm
    gone = judged(reference, category_summary("c", {"a": 1000}))
    assert gone.alarm and np.isfinite(gone.worst)


def test_bins_are_between_the_deciles_and_levels_that_are_rare_are_one():
    reference = number_summary("x", np.arange(10_000.0))
    before, now = binned(reference, number_summary("x", np.arange(5000.0)))
    assert before == pytest.approx(np.full(10, 1000), abs=20) and now == pytest.approx([1000] * 5 + [0] * 5, abs=20)
    counts = np.array([1000.0, 500.0, 3.0, 2.0]), np.array([100.0, 50.0, 4.0, 3.0])
    assert [part.tolist() for part in pooled(*counts)] == [[1000.0, 505.0], [100.0, 57.0]]


def test_a_limit_below_chance_is_chances():
    strict = MonitorConfig(ks=0, psi=0)
    assert not any(judged(NORMAL, number_summary("x", draws.normal(10, 2, 500)), strict).alarm for _ in range(100))
    small = judged(NORMAL, number_summary("x", draws.normal(10, 2, 100)), strict).scores[0].limit
    large = judged(NORMAL, number_summary("x", draws.normal(10, 2, 10_000)), strict).scores[0].limit
    assert small > 4 * large


def test_a_difference_that_is_certain_but_small_is_no_alarm():
    assert not judged(NORMAL, number_summary("x", draws.normal(10.1, 2, 500_000))).alarm


def test_the_sketches_errors_are_no_drift():
    values = draws.normal(10, 2, 50_000)
    reference, window = NORMAL, number_summary("x", values)
    loose = reference.model_copy(update={"rank_error": 0.05})
    strict = MonitorConfig(ks=0, psi=0)
    exact, rough = (judged(one, window, strict) for one in (reference, loose))
    for mine, theirs in zip(exact.scores[:2], rough.scores[:2], strict=True):
        assert mine.value == theirs.value and theirs.limit > mine.limit


def test_a_constant_column_is_fine_until_it_changes():
    reference, window = number_summary("k", np.full(10_000, 3.0)), number_summary("k", np.full(600, 3.0))
    assert judged(reference, window).reason == "within its limits"
    for other in (2.0, 4.0):
        assert judged(reference, number_summary("k", np.full(600, other))).score("ks") == 1
        assert judged(reference, number_summary("k", np.full(600, other))).alarm
    one = category_summary("k", {"only": 10_000})
    assert not judged(one, category_summary("k", {"only": 600})).alarm
    assert judged(one, category_summary("k", {"another": 600})).alarm


def test_a_column_that_is_nearly_always_zero():
    reference = number_summary("rain", np.repeat([0.0, 0.1], [9990, 10]))
    assert not judged(reference, number_summary("rain", np.zeros(500))).alarm
    assert judged(reference, number_summary("rain", np.repeat([0.0, 0.1], [300, 200]))).alarm


@pytest.mark.parametrize(
    ("reference", "window", "reason"),
    [
        (NORMAL, number_summary("x", np.full(600, np.nan)), "too few values in the window: 0"),
        (number_summary("x", np.full(600, np.nan)), NORMAL, "the training data have no value"),
        (NORMAL, number_summary("x", np.arange(49.0)), "too few values in the window: 49"),
        (number_summary("x", np.arange(49.0)), NORMAL, "too few values in the training data: 49"),
        (NORMAL, category_summary("x", {"1": 600}), "text where training had number"),
        (ColumnSummary(name="x", rows=9, nulls=0, types=(("other", 9),)), NORMAL, "neither numbers nor text"),
    ],
)
def test_what_cannot_be_judged_is_no_alarm_and_says_why(reference, window, reason):
    found = judged(reference, window)
    assert not found.alarm and not found.judged and reason in found.reason and found.worst == 0


def test_a_column_of_both_numbers_and_text_is_compared_by_what_most_of_it_is():
    mixed = number_summary("x", draws.normal(10, 2, 1000)).model_copy(update={"types": (("number", 1000), ("text", 5))})
    assert judged(NORMAL, mixed).judged and not judged(NORMAL, mixed).alarm


def test_predictions_that_shift_are_an_alarm_and_their_clean_twin_is_none():
    draw = np.random.default_rng(9)
    reference = number_summary("probability", draw.beta(2, 6, 30_000))
    clean = number_summary("probability", draw.beta(2, 6, 1000))
    assert not compare_predictions(reference, clean, CONFIG, ALPHA).alarm
    moved = compare_predictions(reference, number_summary("probability", draw.beta(3, 6, 1000)), CONFIG, ALPHA)
    assert moved.alarm and "mean shift" in moved.reason
    certain = number_summary("probability", draw.beta(2, 5.8, 400_000))
    assert not compare_predictions(reference, certain, CONFIG, ALPHA).alarm  # by less than anybody minds
    few = compare_predictions(reference, number_summary("probability", np.full(10, 0.5)), CONFIG, ALPHA)
    assert not few.judged


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=200),
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=200),
)
def test_no_score_is_ever_nan_or_infinite(one, other):
    found = judged(number_summary("x", np.array(one)), number_summary("x", np.array(other)))
    assert ColumnDrift.model_validate_json(found.model_dump_json()) == found
    assert all(np.isfinite(score.value) for score in found.scores)


@given(
    st.dictionaries(st.text(max_size=3), st.integers(0, 200), max_size=30),
    st.dictionaries(st.text(max_size=3), st.integers(0, 200), max_size=30),
)
def test_any_categories_are_judged_without_an_error_and_the_same_each_time(one, other):
    pair = category_summary("c", one), category_summary("c", other)
    found = judged(*pair)
    assert found == judged(*pair)
    assert all(np.isfinite(score.value) and score.value >= 0 for score in found.scores)
