"""Confidence sequences: right at every look at once, and narrow enough to be of use."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.sequences import (
    evidence_above,
    evidence_mean_above,
    evidence_worse,
    mean_interval,
    more_for_mean,
    more_for_proportion,
    more_for_worse,
    proportion_interval,
)

STREAMS, LOOKS, ALPHA = 400, 2000, 0.05


def test_a_share_under_continuous_looking_is_left_out_by_at_most_alpha_of_the_streams() -> None:
    share = 0.05
    # the interval excludes `share` exactly outside these counts, so that every stream need not ask for itself
    least, most, low, high = [], [], 0, 0
    for n in range(1, LOOKS + 1):
        while proportion_interval(low, n, ALPHA)[1] <= share:
            low += 1
        high = max(high, 1)
        while high <= n and proportion_interval(high, n, ALPHA)[0] <= share:
            high += 1
        least.append(low)
        most.append(high - 1)
    bad = (np.random.default_rng(1).random((STREAMS, LOOKS)) < share).cumsum(axis=1)
    left_out = ((bad < least) | (bad > most)).any(axis=1).mean()
    print(f"a share left out once in {LOOKS} looks: {left_out:.1%} of {STREAMS} streams, allowed {ALPHA:.0%}")
    assert left_out <= ALPHA


@pytest.mark.parametrize("spread", [0.02, 0.3])
def test_a_mean_under_repeated_looking_is_left_out_by_at_most_alpha_of_the_streams(spread: float) -> None:
    mean = 0.05
    values = mean + np.random.default_rng(2).normal(0, spread, (STREAMS, LOOKS)).clip(-0.9, 0.9)
    total, squares = values.cumsum(axis=1), (values * values).cumsum(axis=1)
    needed, left_out = math.log(2 / ALPHA), 0
    for stream in range(STREAMS):
        left_out += any(
            evidence_mean_above(n, side * total[stream, n - 1], squares[stream, n - 1], side * mean) >= needed
            for n in range(10, LOOKS + 1, 40)
            for side in (1, -1)
        )
    assert left_out / STREAMS <= ALPHA


def test_two_equal_arms_are_told_apart_by_at_most_alpha_of_the_streams() -> None:
    draws = np.random.default_rng(3)
    needed, told = math.log(1 / ALPHA), 0
    for _ in range(STREAMS):
        mine = (draws.random(1000) < 0.2).cumsum()
        other = (draws.random(4000) < 0.2).cumsum()  # four requests to the champion for one to the challenger
        told += any(evidence_worse(mine[n - 1], n, other[4 * n - 1], 4 * n) >= needed for n in range(5, 1001, 5))
    assert told / STREAMS <= ALPHA


def test_nothing_seen_says_nothing() -> None:
    assert proportion_interval(0, 0, 0.05) == (0, 1)
    assert mean_interval(0, 0, 0, 0.05) == (-1, 1)
    assert evidence_above(0, 0, 0.02) == evidence_mean_above(0, 0, 0, 0.05) == evidence_worse(0, 0, 0, 0) == 0


def test_huge_counts_and_extremes() -> None:
    lower, upper = proportion_interval(10**6, 10**8, 0.001)
    assert 0.0099 < lower < 0.01 < upper < 0.0101
    assert proportion_interval(0, 10**8, 0.001)[0] == 0 and proportion_interval(0, 10**8, 0.001)[1] < 1e-6
    assert proportion_interval(10**8, 10**8, 0.001)[0] > 1 - 1e-6
    low, high = mean_interval(10**8, 10**7, 2 * 10**6, 0.001)
    assert 0.0999 < low < 0.1 < high < 0.1001
    assert mean_interval(10**4, 10**4, 10**4, 0.05)[1] == 1


@pytest.mark.parametrize(("spread", "rows", "half_width"), [(0.02, 300, 0.04), (0.05, 300, 0.04), (0.1, 3000, 0.011)])
def test_a_shift_is_resolved_against_a_limit_of_five_points(spread: float, rows: int, half_width: float) -> None:
    lower, upper = mean_interval(rows, 0, rows * spread**2, 0.05 / 30)
    assert upper < half_width and lower == -upper


@given(n=st.integers(1, 5000), data=st.data())
def test_an_interval_holds_its_estimate_and_mirrors(n: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, n))
    lower, upper = proportion_interval(bad, n, 0.01)
    assert 0 <= lower <= bad / n <= upper <= 1
    mirrored = proportion_interval(n - bad, n, 0.01)
    assert mirrored == pytest.approx((1 - upper, 1 - lower), abs=1e-9)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.floats(-0.9, 0.9))
def test_a_mean_holds_its_estimate_and_agrees_with_its_evidence(values: list[float], limit: float) -> None:
    sums = len(values), sum(values), sum(value * value for value in values)
    lower, upper = mean_interval(*sums, 0.05)
    assert -1 <= lower <= sums[1] / sums[0] + 1e-12 and sums[1] / sums[0] - 1e-12 <= upper <= 1
    if lower > limit:  # what the interval leaves out, the test rejects
        assert evidence_mean_above(*sums, limit) >= math.log(2 / 0.05) - 1e-6


def test_more_looks_narrow_it() -> None:
    widths = [np.diff(proportion_interval(n // 10, n, 0.05))[0] for n in (10, 100, 1000, 10_000)]
    assert widths == sorted(widths, reverse=True)


def test_what_is_still_needed_is_enough_and_no_less() -> None:
    more = more_for_proportion(0, 100, 0.04, 0.01)
    assert more is not None
    assert proportion_interval(0, 100 + more, 0.01)[1] <= 0.04 < proportion_interval(0, 99 + more, 0.01)[1]
    assert more_for_proportion(30, 100, 0.02, 0.01) == 0
    assert more_for_proportion(2, 100, 0.02, 0.01) is None  # at the limit: never
    rows = more_for_mean(100, 10, 1.25, 0.05, 0.01)
    assert rows is not None
    assert mean_interval(100 + rows, 0.1 * (100 + rows), 0.0125 * (100 + rows), 0.01)[0] >= 0.05
    assert more_for_mean(100, 5, 1.25, 0.05, 0.01) is None and more_for_mean(0, 0, 0, 0.05, 0.01) is None
    assert more_for_mean(100, 10, 1.25, 1.0, 0.01) is None  # a limit that allows everything
    worse = more_for_worse(6, 20, 0, 20, 0.01)
    assert worse is not None and 5 < worse < 60
    assert more_for_worse(3, 20, 3, 20, 0.01) is None
