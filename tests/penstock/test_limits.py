"""The limits are those of the exact distributions, or a little above; the intervals are the published ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, kstwo

from penstock.limits import (
    chi_squared,
    difference_interval,
    ks_limit,
    mean_limit,
    psi_limit,
    share_interval,
)


@pytest.mark.parametrize("freedom", [1, 2, 5, 9, 30, 103])
@pytest.mark.parametrize("alpha", [1e-2, 1e-3, 1e-4, 1e-5])
def test_chi_squared_is_exact_or_a_little_above(freedom, alpha):
    ratio = chi_squared(freedom, alpha) / chi2.isf(alpha, freedom)
    assert 0.99 < ratio < 1.12
    assert freedom == 1 or ratio < 1.08


@pytest.mark.parametrize(("n", "m"), [(50, 5000), (500, 240_000), (50_000, 240_000)])
@pytest.mark.parametrize("alpha", [1e-2, 1e-3, 1e-4])
def test_ks_limit_is_kolmogorovs_or_a_little_above(n, m, alpha):
    assert 1 <= ks_limit(n, m, alpha) / kstwo.isf(alpha, round(n * m / (n + m))) < 1.03


@given(st.integers(50, 10**6), st.integers(50, 10**6), st.integers(2, 100))
def test_limits_fall_as_either_sample_grows(n, m, levels):
    for limit in (lambda *sizes: ks_limit(*sizes, 0.001), lambda *sizes: psi_limit(levels, *sizes, 0.001)):
        assert limit(2 * n, m) <= limit(n, m) and limit(n, 2 * m) <= limit(n, m)
    assert psi_limit(levels + 1, n, m, 0.001) > psi_limit(levels, n, m, 0.001)
    assert psi_limit(levels, n, m, 0.001) == pytest.approx(chi2.isf(0.001, levels - 1) * (1 / n + 1 / m), rel=0.04)
    assert psi_limit(1, n, m, 0.001) == 0


def test_chance_exceeds_the_limit_of_psi_about_as_often_as_it_should():
    draws, shares, n, m = np.random.default_rng(4), np.full(10, 0.1), 500, 20_000
    limit = psi_limit(10, n, m, 0.01)
    beyond = 0
    for _ in range(2000):
        p, q = draws.multinomial(n, shares) / n, draws.multinomial(m, shares) / m
        beyond += ((p - q) * np.log(p / q)).sum() > limit
    assert 5 <= beyond <= 45  # 20 expected


def test_intervals_are_those_of_the_papers():
    # Newcombe 1998, table II: 56/70 - 48/80, 95 %, method 10
    assert difference_interval(56, 70, 48, 80, 0.05) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert difference_interval(10, 10, 0, 10, 0.05) == pytest.approx((0.6075, 1.0), abs=1e-3)
    assert share_interval(81, 263, 0.05) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I


@given(st.integers(0, 500), st.integers(0, 500), st.floats(1e-6, 0.4))
def test_a_share_is_within_its_interval(found, more, alpha):
    n = found + more
    low, high = share_interval(found, n, alpha)
    assert 0 <= low <= high <= 1
    assert n == 0 or low <= found / n <= high
    assert difference_interval(0, 0, found, n, alpha)[0] >= -1


def test_mean_limit_is_what_chance_makes_of_two_means():
    draws = np.random.default_rng(5)
    gaps = [abs(draws.normal(0, 2, 400).mean() - draws.normal(0, 1, 200).mean()) for _ in range(2000)]
    beyond = sum(gap > mean_limit(400, 2, 200, 1, 0.05) for gap in gaps)
    assert 70 <= beyond <= 130  # 100 expected
