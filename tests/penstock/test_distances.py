"""Each distance sees a planted shift, not its clean twin, and is what its source says it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from examples.flights import source
from penstock.distances import (
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability_index,
    total_variation,
)
from penstock.sketch import number_summary

OF_SHARES = (population_stability_index, jensen_shannon, hellinger, total_variation)
numbers = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=300)
counts = st.lists(st.integers(1, 1000), min_size=6, max_size=6)


def ks(one, other) -> float:
    return kolmogorov_smirnov(number_summary("x", np.array(one)), number_summary("x", np.array(other)))


@given(numbers, numbers)
def test_ks_is_scipys_symmetric_and_within_0_and_1(one, other):
    assert ks(one, other) == pytest.approx(
        ks_2samp(one, other, method="asymp").statistic, abs=1e-9
    )  # few distinct values: exact
    assert ks(one, other) == ks(other, one)
    assert 0 <= ks(one, other) <= 1 and ks(one, one) == 0


@pytest.mark.parametrize("column", ["departure_hour", "distance", "seats", "temp", "humid", "precip", "pressure"])
def test_ks_of_real_flights_is_scipys_within_the_rank_error(column):
    january, july = (source().read(f"2013-{month}").rows[column].drop_nulls().to_numpy() for month in ("01", "07"))
    one, other = number_summary(column, january), number_summary(column, july)
    exact = ks_2samp(january, july, method="asymp").statistic
    assert kolmogorov_smirnov(one, other) == pytest.approx(exact, abs=one.rank_error + other.rank_error + 1e-9)


@given(counts, counts)
def test_distances_of_shares_are_symmetric_finite_and_not_negative(one, other):
    p, q = np.array(one) / sum(one), np.array(other) / sum(other)
    for distance in OF_SHARES:
        assert distance(p, q) == pytest.approx(distance(q, p), abs=1e-12)
        assert 0 <= distance(p, q) < math.inf
        assert distance(p, p) == pytest.approx(0, abs=1e-7)
    assert max(jensen_shannon(p, q), hellinger(p, q), total_variation(p, q)) <= 1
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    # Le Cam: hellinger^2 <= tv <= hellinger * sqrt(2)
    assert hellinger(p, q) ** 2 - 1e-9 <= total_variation(p, q) <= hellinger(p, q) * 2**0.5 + 1e-9


def test_known_values():
    p, q = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    assert population_stability_index(p, q) == pytest.approx(0.4 * math.log(9))
    assert total_variation(p, q) == pytest.approx(0.4)
    assert hellinger(p, q) == pytest.approx(math.sqrt(1 - math.sqrt(0.45) - math.sqrt(0.05)))
    apart = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert jensen_shannon(*apart) == hellinger(*apart) == total_variation(*apart) == 1


@pytest.mark.parametrize("distance", OF_SHARES)
def test_a_planted_shift_is_far_beyond_its_clean_twin(distance):
    draws, shares = np.random.default_rng(2), np.array([0.4, 0.3, 0.2, 0.1])
    clean = draws.multinomial(5000, shares) / 5000
    moved = draws.multinomial(5000, [0.3, 0.3, 0.2, 0.2]) / 5000
    assert distance(shares, moved) > 5 * distance(shares, clean)


def test_ks_sees_a_planted_shift_and_not_its_clean_twin():
    draws = np.random.default_rng(3)
    reference, clean, moved = draws.normal(size=50_000), draws.normal(size=5000), draws.normal(0.3, size=5000)
    assert ks(reference, clean) < 0.03 < 0.1 < ks(reference, moved)
