"""Intervals as SVG: where things are drawn, what is cut, and what is said in words."""

from __future__ import annotations

import re

import pytest

from penstock.config import Bound
from penstock.gate_checks import Check, margin_of
from tasks.reports.interval_plots import Interval, interval, said, scale, span


def row(loss: float, low: float, high: float, margin: float | None = 0.03, passed: bool = True) -> Interval:
    return Interval("auc", loss, low, high, margin, 0.95, passed)


def place(svg: str, element: str) -> float:
    found = re.search(rf'<{element}[^>]* (?:c?x1?)="([-\d.]+)%"', svg)
    assert found, element
    return float(found[1])


def test_zero_loss_and_margin_stand_in_order_on_one_axis():
    one = row(0.01, -0.01, 0.03)
    axis = span([one, row(0.02, 0.0, 0.05)])
    assert axis[0] < -0.01 and axis[1] > 0.05
    svg = interval(one, axis)
    zero, at, margin = place(svg, 'line class="zero"'), place(svg, 'circle class="shown"'), place(svg, "rect")
    assert 0 < zero < at < margin < 100
    assert at == pytest.approx(100 * (0.01 - axis[0]) / (axis[1] - axis[0]), abs=0.01)
    assert (margin - at) == pytest.approx(2 * (at - zero), abs=0.03)


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (row(0.01, 0, 0.02), "shown"),
        (row(0.01, 0, 0.04), "unsure"),
        (row(0.01, 0, 0.04, passed=False), "over"),
        (row(0.01, 0, 0.04, margin=None), "shown"),
    ],
)
def test_what_is_shown_not_shown_and_failed_look_different(one, kind):
    svg = interval(one, span([one]))
    assert f'<circle class="{kind}"' in svg and svg.count(f'class="whisker {kind}"') == 3
    assert ("beyond-margin" in svg) == (one.margin is not None)


def test_one_wild_interval_does_not_squeeze_the_others_and_is_cut_with_an_arrow():
    calm, wild = row(0.01, 0.0, 0.02), row(0.02, -4.0, 5.0)
    axis = span([calm, wild])
    assert axis[1] - axis[0] < 0.15
    svg = interval(wild, axis)
    assert "M6,-5 L0,0 L6,5" in svg and "M-6,-5 L0,0 L-6,5" in svg and "M0,-5 L0,5" not in svg
    assert max(float(number) for number in re.findall(r'="([-\d.]+)%"', svg)) <= 100
    assert "M0,-5 L0,5" in interval(calm, axis)


def test_nothing_but_zeros_is_drawn_too():
    one = row(0.0, 0.0, 0.0, margin=0.0)
    axis = span([one])
    assert "nan" not in interval(one, axis) + scale(axis) and axis[0] < 0 < axis[1]


def test_the_words_say_all_of_it():
    assert said(row(0.01, -0.004, 0.0163)) == (
        "auc: loss 0.01, from -0.004 to 0.0163, each with 95 %; the margin is 0.03; passed"
    )
    assert "no margin is known; failed" in said(row(0.01, 0, 1, margin=None, passed=False))
    assert "auc &lt;b&gt;" in interval(row(0.01, 0, 1)._replace(name="auc <b>"), (0, 1))


@pytest.mark.parametrize(
    ("bound", "text", "margin"),
    [
        (Bound(max_loss=0.01, max_relative_loss=0.05), "at most 0.01 worse", 0.01),
        (Bound(max_loss=0.01, max_relative_loss=0.05), "at most 5.00% worse", 0.1),
        (Bound(max_loss=0.01), "at most 0.02 worse", None),
        (Bound(min=0.5), "at least 0.5", None),
    ],
)
def test_the_margin_of_a_check_is_that_of_its_bound(bound, text, margin):
    check = Check(name="rmse", value=1, baseline=-2, bound=text, passed=True, loss=0.0, low=0, high=0, confidence=0.9)
    assert margin_of(bound, check) == (None if margin is None else pytest.approx(margin))
