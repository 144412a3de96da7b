"""How far answers are from the champion's: numbers and several classes. Those of binary are in test_verdict.py."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.agreement import Agreement, compare_classes, compare_numbers
from penstock.release_config import RolloutConfig
from penstock.rollout_checks import agreement_checks

RNG = np.random.default_rng(3)


def states(found: Agreement) -> dict[str, str]:
    return {check.name: check.state for check in agreement_checks(found, RolloutConfig(), 0.05, 100)}


def test_numbers_are_compared_in_the_labels_spread() -> None:
    before = RNG.normal(100, 20, 2000)
    same = compare_numbers(before, before + RNG.normal(0, 1, 2000), 20)
    assert states(same) == {"prediction shift": "within", "flips": "within"}
    moved = compare_numbers(before, before + 4, 20)
    assert moved.shift_sum / moved.rows == pytest.approx(0.2)
    assert (states(moved)["prediction shift"], moved.flips) == ("excluded", 0)
    assert states(compare_numbers(before, before + 4, 200))["prediction shift"] == "within"


def test_numbers_that_move_both_ways_are_flips_and_a_wild_one_counts_as_one() -> None:
    before = np.zeros(2000)
    found = compare_numbers(before, np.tile([15.0, -15.0], 1000), 20)
    assert states(found) == {"prediction shift": "within", "flips": "excluded"}
    assert compare_numbers(before, np.full(2000, 1e30), 20).shift_sum == 2000


def test_a_number_that_only_the_challenger_does_not_give_is_the_largest_shift() -> None:
    before, after = np.array([1.0, np.nan, 3.0]), np.array([np.nan, 2.0, 3.0])
    found = compare_numbers(before, after, 1)
    assert (found.rows, found.flips, found.shift_sum) == (2, 1, 1.0)


def probabilities(n: int, shares: tuple[float, ...]) -> np.ndarray:
    return RNG.dirichlet(np.array(shares) * 10, n)


def test_of_several_classes_each_has_its_shift() -> None:
    before = probabilities(3000, (0.5, 0.3, 0.2))
    names = ("a", "b", "c")
    assert set(states(compare_classes(before, before, names)).values()) == {"within"}
    after = before.copy()
    after[:, 0] -= 0.1
    after[:, 2] += 0.1
    found = states(compare_classes(before, after, names))
    assert found["prediction shift of a"] == found["prediction shift of c"] == "excluded"
    assert found["prediction shift of b"] == "within"


def test_windows_of_several_classes_add_up_and_slices_have_flips_only() -> None:
    before, after = probabilities(1200, (0.5, 0.5)), probabilities(1200, (0.5, 0.5))
    labels = {"origin": np.repeat(["JFK", "LGA"], 600)}
    whole = compare_classes(before, after, ("a", "b"), labels)
    halves = [
        compare_classes(before[part], after[part], ("a", "b"), {"origin": labels["origin"][part]})
        for part in (slice(0, 500), slice(500, None))
    ]
    total = halves[0] + halves[1]
    assert (total.rows, total.flips) == (whole.rows, whole.flips)
    assert [one.shift_sum for one in total.classes] == pytest.approx([one.shift_sum for one in whole.classes])
    assert [name for name in states(total) if "JFK" in name] == ["flips on origin=JFK"]
    assert whole.flips == (before.argmax(1) != after.argmax(1)).sum()
