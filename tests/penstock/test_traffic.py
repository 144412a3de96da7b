"""Windows of traffic and of paired answers: readings that cannot be true, restarts, several gateways."""

from __future__ import annotations

import math

import numpy as np
import pytest

from penstock.agreement import Agreement, compare
from penstock.traffic import Traffic, delta
from penstock.verdict import Evidence

HISTOGRAM = ((5.0, 90), (10.0, 8), (math.inf, 2))


@pytest.mark.parametrize(
    "reading",
    [
        {"requests": math.nan, "errors": 3},
        {"requests": 100, "errors": math.nan},
        {"requests": -1},
        {"requests": 10, "errors": -2},
        {"requests": math.inf},
        {"requests": None},
    ],
)
def test_a_reading_that_cannot_be_true_is_no_traffic(reading: dict[str, float]) -> None:
    assert Traffic.model_validate({**reading, "latency": HISTOGRAM}) == Traffic()


@pytest.mark.parametrize("hole", [(math.nan, 3), (None, 3), (7.0, -1), (7.0, math.nan)])
def test_a_histogram_with_a_hole_is_none_and_the_counts_stay(hole: tuple[float | None, float]) -> None:
    read = Traffic.model_validate({"requests": 100, "errors": 1, "latency": (*HISTOGRAM, hole)})
    assert (read.requests, read.errors, read.latency) == (100, 1, ())


def test_an_error_counted_before_its_request_is_a_request() -> None:
    assert Traffic(requests=4, errors=5).requests == 5


def test_traffic_goes_through_json() -> None:
    traffic = Traffic(requests=100, errors=1, latency=HISTOGRAM)
    assert Traffic.model_validate_json(traffic.model_dump_json()) == traffic
    seen = Evidence(challenger=traffic, earlier=((traffic, None),))
    assert Evidence.model_validate_json(seen.model_dump_json()) == seen


def test_percentiles_lie_within_their_bucket() -> None:
    traffic = Traffic(requests=100, latency=HISTOGRAM)
    shares = (0.45, 0.9, 0.94, 0.98, 0.99)
    assert [traffic.percentile(share) for share in shares] == pytest.approx([2.5, 5, 7.5, 10, math.inf])
    assert Traffic(requests=5, latency=((math.inf, 5),)).percentile(0.95) == math.inf
    assert (traffic.answered, traffic.slower_than(5), traffic.slower_than(10)) == (100, 10, 2)
    assert Traffic(requests=3).percentile(0.95) is None


def test_delta_of_a_gateway_that_went_on() -> None:
    after = Traffic(requests=150, errors=4, latency=((5.0, 130), (10.0, 15), (math.inf, 3)))
    found = delta(Traffic(requests=100, errors=1, latency=HISTOGRAM), after)
    assert found == Traffic(requests=50, errors=3, latency=((5.0, 40), (10.0, 7), (math.inf, 1)))
    assert delta(after, after).requests == 0 and delta(Traffic(), after) == after


@pytest.mark.parametrize(
    "after",
    [
        Traffic(requests=30, errors=2, latency=((5.0, 30),)),
        Traffic(requests=120, errors=0),
        Traffic(requests=120, errors=0, latency=HISTOGRAM),
        Traffic(requests=99, errors=1, latency=HISTOGRAM),
        Traffic(requests=120, errors=2, latency=((5.0, 89), (10.0, 29), (math.inf, 2))),
        Traffic(requests=120, errors=2, latency=((5.0, 118), (10.0, 8))),
    ],
)
def test_delta_of_a_gateway_that_restarted_is_what_it_counted_since(after: Traffic) -> None:
    assert delta(Traffic(requests=100, errors=1, latency=HISTOGRAM), after) == after


def test_several_gateways_are_summed_and_an_unreadable_one_adds_nothing() -> None:
    one = Traffic(requests=100, errors=1, latency=HISTOGRAM)
    other = Traffic(requests=10, errors=2, latency=((5.0, 4), (7.0, 1), (math.inf, 3)))
    both = sum((one, other, Traffic.model_validate({"requests": math.nan})), Traffic())
    assert both == Traffic(requests=110, errors=3, latency=((5.0, 94), (7.0, 1), (10.0, 8), (math.inf, 5)))


def test_compare_sums_what_the_verdict_needs() -> None:
    champion, challenger = np.array([0.1, 0.4, 0.6, 0.9]), np.array([0.1, 0.6, 0.5, 1.0])
    found = compare(champion, challenger, champion > 0.5, challenger > 0.5, {"origin": np.array(["A", "B", "B", "A"])})
    assert (found.rows, found.flips) == (4, 2)
    assert found.shift_sum == pytest.approx(0.2) and found.shift_squares == pytest.approx(0.06)
    assert [(part.name, part.rows, part.flips) for part in found.slices] == [("origin=A", 2, 0), ("origin=B", 2, 2)]


def test_compare_counts_no_answer_against_the_challenger_only() -> None:
    champion, challenger = np.array([np.nan, 0.5, 0.5]), np.array([0.5, np.nan, 0.5])
    same = np.array([True, True, True])
    found = compare(champion, challenger, same, same)
    assert (found.rows, found.flips, found.shift_sum) == (2, 1, 1.0)
    assert compare(champion[:0], challenger[:0], same[:0], same[:0]) == Agreement()
    with pytest.raises(ValueError, match="differ in length"):
        compare(champion, challenger[:2], same, same)


def test_agreements_add_by_slice() -> None:
    ones, labels = np.ones(3) / 2, {"origin": np.array(["A", "B", "B"])}
    part = compare(ones, ones, ones > 0, ones > 0, labels)
    both = part + compare(ones, ones, ones > 0, ones > 1, {"origin": np.array(["B", "C", "C"])})
    assert (both.rows, both.flips) == (6, 3)
    assert [(one.name, one.rows, one.flips) for one in both.slices] == [
        ("origin=A", 1, 0), ("origin=B", 3, 1), ("origin=C", 2, 2),
    ]  # fmt: skip
