"""Samples: of the right size, the same each time, and no class is lost."""

import numpy as np
import pytest

from penstock.own_checks import own_checks
from penstock.sampling import sampled, sampled_by_class


@pytest.mark.parametrize(("n", "share", "rows"), [(1000, 0.2, 200), (10, 0.25, 3), (3, 0.01, 1), (7, 1, 7)])
def test_a_share_of_the_rows_is_rounded_up(n, share, rows):
    assert sampled(n, share, 7).sum() == rows


def test_a_seed_says_which_rows():
    assert (sampled(100, 0.5, 1) == sampled(100, 0.5, 1)).all()
    assert (sampled(100, 0.5, 1) != sampled(100, 0.5, 2)).any()


def test_each_class_keeps_its_share_and_a_rare_one_a_row():
    label = np.array([0] * 1000 + [1] * 100 + [2])
    chosen = sampled_by_class(label, 0.1, 7)
    assert [int(chosen[label == value].sum()) for value in (0, 1, 2)] == [100, 10, 1]


def test_own_checks_are_those_that_are_configured():
    everything = {"tool": {"ruff": {}, "mypy": {"files": ["a"]}, "importlinter": {}, "pytest": {}}}
    assert [check.name for check in own_checks(everything, False)] == ["format", "lint", "types", "imports", "tests"]
    assert own_checks({}, False) == ()
    assert [check.command for check in own_checks({"tool": {"mypy": {}}}, True)] == [("mypy", "."), ("pytest",)]
