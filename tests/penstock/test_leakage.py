"""What one feature tells of the label: a copy of it is found in every disguise, chance is not."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.leakage import Alone, alone_on, each, leak_check

ROWS = 4000
RNG = np.random.default_rng(5)
TRUTH = RNG.uniform(size=ROWS) < 0.1
NOISE = RNG.normal(size=ROWS)
CLASS = RNG.integers(0, 3, ROWS)
NUMBER = np.exp(RNG.normal(size=ROWS) * 2)


def alone(task, x, y, **more):
    half = ROWS // 2
    return alone_on(task, (x[:half], y[:half]), (x[half:], y[half:]), **more)


@pytest.mark.parametrize(
    "x",
    [
        TRUTH + NOISE / 1e3,
        TRUTH * -5.0,
        np.where(TRUTH, NOISE, np.nan),  # filled only after the outcome
        np.where(TRUTH, np.nan, NOISE),
        np.where(TRUTH, 9, 4 + 10 * (NOISE > 0)) + 0.01 * NOISE,  # in the middle: no ranks tell it
    ],
)
def test_a_binary_label_is_found_in_a_number(x):
    assert alone("binary", x, TRUTH) > 0.99


def test_noise_tells_nothing():
    assert 0.45 < alone("binary", NOISE, TRUTH) < 0.58
    assert alone("regression", NOISE, NUMBER) < 0.1
    assert alone("multiclass", NOISE, CLASS, classes=3) < 0.4


def test_a_category_that_is_the_label_is_found_and_a_key_of_the_rows_is_not():
    assert alone("binary", 1 + 2 * TRUTH, TRUTH, ordered=False) == 1
    keys = np.arange(ROWS)
    keys[ROWS // 2 :] = 0  # training never saw them
    assert alone("binary", keys, TRUTH, ordered=False) == 0.5


def test_a_number_is_found_by_its_ranks_or_its_category():
    assert alone("regression", np.log(NUMBER), NUMBER) == pytest.approx(1)
    assert alone("regression", CLASS, CLASS * 10.0, ordered=False) == pytest.approx(1)
    assert alone("regression", np.full(ROWS, 3.0), NUMBER) < 0.01


def test_a_large_class_does_not_count_as_told():
    rare = (RNG.uniform(size=ROWS) < 0.002).astype(int)
    assert alone("multiclass", NOISE, rare, classes=2) < 0.8
    assert alone("multiclass", CLASS * 1.0, CLASS, classes=3) == 1


def test_labels_that_do_not_vary_give_no_value():
    assert alone("binary", NOISE, np.ones(ROWS, bool)) is None


def test_the_check_names_the_leak_and_what_to_do():
    found = Alone(measure="AUC", features=tuple(each({"a": 0.7, "arrival": 0.999, "b": None})))
    check = leak_check(found, 0.99)
    assert not check.passed and check.value == 0.999
    assert "`arrival` (0.9990)" in check.note and "features.known_after" in check.note and "`a`" not in check.note
    assert leak_check(found, 0.999).passed and leak_check(found, 1.0).passed
    assert not leak_check(Alone(measure="AUC", features=()), 1.0).passed
