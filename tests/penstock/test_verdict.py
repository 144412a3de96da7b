"""The verdict: every rule has a planted defect that fails or holds, and a clean twin that passes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from penstock.agreement import Agreement, SliceAgreement
from penstock.release_config import RolloutConfig
from penstock.rollout_checks import agreement_checks, slow_bound
from penstock.traffic import Traffic
from penstock.verdict import Evidence, Step, Verdict, decide, tolerated

CONFIG = RolloutConfig()
BOUNDS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, math.inf)


def traffic(requests: int, errors: int = 0, slow: int = 0, usual: float = 5.0, slow_at: float = 100.0) -> Traffic:
    counts = dict.fromkeys(BOUNDS, 0)
    counts[usual] += requests - slow
    counts[slow_at] += slow
    return Traffic(requests=requests, errors=errors, latency=tuple(counts.items()))


def step(**changes: Any) -> Step:
    return Step(**{"name": "canary 25 %", "steps": 6, "baked": True, **changes})


def agreement(rows: int, shift: float = 0.0, flips: int = 0, spread: float = 0.05, **parts: Agreement) -> Agreement:
    return Agreement(
        rows=rows,
        shift_sum=rows * shift,
        shift_squares=rows * (shift * shift + spread * spread),
        flips=flips,
        slices=tuple(
            SliceAgreement(name=name, **part.model_dump(exclude={"slices", "classes"}))
            for name, part in sorted(parts.items())
        ),
    )


def judged(challenger: Traffic, champion: Traffic | None = None, at: Step | None = None, **more: Any) -> Verdict:
    return decide(CONFIG, at or step(), Evidence(challenger=challenger, champion=champion, **more))


def test_a_clean_step_passes_with_the_least_requests_with_and_without_a_champion() -> None:
    assert judged(traffic(100), traffic(300)).decision == "pass"
    alone = judged(traffic(100))
    assert (alone.decision, alone.reasons, alone.needs) == ("pass", (), 0)
    assert str(alone) == "pass: 1 checks within their limits"


def test_a_clean_rollout_passes_every_step_and_the_last_on_a_couple_of_thousand_requests() -> None:
    earlier: list[tuple[Traffic, Traffic | None]] = []
    windows = [("replay", 500, None), ("shadow", 500, 500), ("canary 5 %", 100, 1900), ("canary 25 %", 150, 450),
               ("canary 50 %", 300, 300), ("bake", 500, None)]  # fmt: skip
    for name, mine, others in windows:
        challenger, champion = traffic(mine, errors=mine // 100), None if others is None else traffic(others)
        at = step(name=name, last=name == "bake")
        found = judged(challenger, champion, at, earlier=tuple(earlier), slow_ms=None if others else 30.0)
        assert found.decision == "pass", (name, found)
        earlier.append((challenger, champion))


def test_no_traffic_is_a_hold_and_says_what_is_missing() -> None:
    found = judged(Traffic(), Traffic())
    assert (found.decision, found.needs) == ("hold", 100)
    assert any("the challenger needs about 100 more requests (0 of 100)" in reason for reason in found.reasons)
    waited = judged(Traffic(), Traffic(), step(waited_out=True))
    assert waited.decision == "hold" and "`on_hold: stay` decides" in waited.reasons[-1]
    assert judged(traffic(100), traffic(100), step(waited_out=True)).decision == "pass"


@pytest.mark.parametrize(
    ("challenger", "champion", "reason", "needs"),
    [
        (traffic(99), traffic(300), "the challenger needs about 1 more requests (99 of 100)", 1),
        (traffic(100), traffic(40), "the champion needs about 60 more requests (40 of 100)", 0),
        (traffic(100), Traffic(requests=0), "the champion needs about 100 more requests", 0),
        (Traffic(requests=100, latency=traffic(40).latency), traffic(300), "about 60 more latencies (40 of 100)", 60),
        (traffic(100), Traffic(requests=300), "the champion needs about 100 more latencies (0 of 100)", 0),
    ],
)
def test_too_few_of_anything_is_a_hold(challenger: Traffic, champion: Traffic, reason: str, needs: int) -> None:
    found = judged(challenger, champion)
    assert found.decision == "hold" and any(reason in one for one in found.reasons), found
    assert found.needs == needs


def test_before_its_time_a_step_can_fail_but_not_pass() -> None:
    early = step(baked=False)
    assert judged(traffic(100), traffic(300), early).reasons == ("the time of step 'canary 25 %' is not up",)
    assert judged(traffic(40, errors=12), None, early).decision == "fail"


def test_errors_fail_in_words() -> None:
    found = judged(traffic(40, errors=12), traffic(760))
    assert found.decision == "fail"
    assert found.reasons == (
        "errors 12 of 40 (30.0 %, at least 9.4 %), allowed 2.0 %, champion 0 of 760 (0.0 %)",
    )  # fmt: skip


def test_a_few_errors_too_many_hold_until_they_can_be_told() -> None:
    found = judged(traffic(100, errors=4), traffic(300))
    assert found.decision == "hold" and found.reasons[0].startswith("undecided: errors 4 of 100")
    more = found.needs
    assert f"needs about {more:,} more to tell" in found.reasons[0]
    grown = (100 + more) / 100
    assert judged(traffic(round(100 * grown), round(4 * grown)), traffic(round(300 * grown))).decision == "fail"
    assert judged(traffic(100, errors=2), traffic(300)).decision == "pass"  # at the limit is within it


def test_an_outage_that_both_share_fails_nobody_and_passes_nobody() -> None:
    assert judged(traffic(400, errors=200), traffic(400, errors=200)).decision == "hold"
    assert judged(traffic(400, errors=200), traffic(400, errors=100)).decision == "fail"


def test_an_outage_that_both_share_is_compared_within_its_own_step() -> None:
    before = ((traffic(50), traffic(2000)), (traffic(100, errors=1), traffic(2000)))
    shared = judged(traffic(800, errors=400), traffic(800, errors=400), earlier=before)
    assert shared.decision == "hold", shared
    assert judged(traffic(800, errors=400), traffic(800, errors=4), earlier=before).decision == "fail"


def test_errors_within_the_limit_do_not_incriminate_a_later_outage_that_both_share() -> None:
    before = ((traffic(1000, errors=15), traffic(3000)),)
    shared = judged(traffic(400, errors=200), traffic(400, errors=200), earlier=before)
    assert shared.decision == "hold", shared


def test_errors_that_no_step_shows_alone_are_found_over_the_whole_rollout() -> None:
    part = (traffic(150, errors=9), None)
    assert judged(*part).decision == "hold"
    found = judged(*part, earlier=(part,) * 4)
    assert found.decision == "fail" and found.reasons[0].startswith("errors since the rollout began 45 of 750")
    assert len(found.reasons) == 1


def test_the_last_step_asks_for_evidence_that_errors_are_rare() -> None:
    last = step(name="bake", last=True)
    found = judged(traffic(100), None, last)
    assert found.decision == "hold" and "healthy is at most 4.0 %" in found.reasons[0] and found.needs == 92
    assert judged(traffic(100 + found.needs), None, last).decision == "pass"
    assert judged(traffic(100), None, last, earlier=((traffic(100), traffic(100)),)).decision == "pass"
    assert tolerated(CONFIG.model_copy(update={"max_error_rate": 0.0})) == 0.01


def test_slow_is_measured_by_the_champion_in_the_same_window() -> None:
    champion = traffic(300)  # p95 is 4.8 ms: slow is above 2 * 4.8 + 20, so above the bound at 50
    assert slow_bound(champion, traffic(100), CONFIG) == 50
    slow = judged(traffic(100, slow=60), champion)
    assert slow.decision == "fail" and slow.reasons[0].startswith("slow requests (above 50 ms) 60 of 100")
    assert judged(traffic(100, slow=10), champion).decision == "pass"
    assert judged(traffic(100, slow=11), champion).decision == "hold"
    assert judged(traffic(100, slow=60, slow_at=50.0), champion).decision == "pass"  # not above the bound


def test_without_a_champion_slow_is_what_it_was_with_one() -> None:
    assert judged(traffic(100, slow=60), None, slow_ms=30.0).decision == "fail"
    assert judged(traffic(100, slow=60), None).decision == "pass"  # no latency limit is known
    assert judged(traffic(100), None, slow_ms=30.0).decision == "pass"


def test_a_histogram_that_ends_too_early_holds() -> None:
    last = traffic(300, usual=math.inf)
    found = judged(last, last)
    assert found.decision == "hold" and "the histogram ends below" in found.reasons[0]
    assert judged(traffic(300, usual=math.inf), traffic(300)).decision == "fail"  # only the challenger is off it


def test_a_shift_fails_in_either_direction_and_within_the_limit_passes() -> None:
    for shift in (0.1, -0.1):
        found = judged(traffic(500), agreement=agreement(500, shift))
        assert found.decision == "fail" and found.reasons[0].startswith(f"prediction shift {shift:+.3f} on 500 rows")
    assert judged(traffic(500), agreement=agreement(500, 0.04)).decision == "pass"
    assert judged(traffic(500), agreement=agreement(500, 0.051)).decision == "hold"
    assert judged(traffic(500), agreement=agreement(99)).decision == "hold"
    assert judged(traffic(500), agreement=Agreement()).decision == "hold"
    assert judged(traffic(500), agreement=agreement(500, math.nan)).decision == "hold"


def test_flips_beyond_the_limit_fail_and_at_the_limit_pass() -> None:
    assert judged(traffic(500), agreement=agreement(500, flips=200)).reasons[0].startswith("flips 200 of 500")
    assert judged(traffic(500), agreement=agreement(500, flips=100)).decision == "pass"


def test_one_bad_slice_fails_and_a_small_one_is_not_judged() -> None:
    bad = agreement(400, 0.2)
    found = judged(traffic(2000), agreement=agreement(2000, 0.04, JFK=bad, LGA=agreement(1600)))
    assert found.decision == "fail" and "prediction shift on JFK" in found.reasons[0] and len(found.reasons) == 1
    small = {"JFK": agreement(99, 0.2, flips=99), "LGA": agreement(1900)}
    assert judged(traffic(2000), agreement=agreement(2000, 0.04, **small)).decision == "pass"


def test_slices_share_alpha() -> None:
    def of(count: int) -> str:
        others = {f"s{number}": agreement(200) for number in range(count)}
        return judged(traffic(500), agreement=agreement(500, JFK=agreement(150, flips=56), **others)).decision

    assert of(0) == "fail" and of(50) == "hold"  # what one slice proves, one of 51 does not


def test_huge_counts() -> None:
    big = 10**8
    assert judged(traffic(big, errors=big // 100), traffic(big), step(last=True)).decision == "pass"
    assert judged(traffic(big, errors=big // 40), traffic(big)).decision == "fail"


@pytest.mark.parametrize("steps", [1, 6])
def test_thirty_percent_errors_are_found_in_about_fifteen_requests(steps: int) -> None:
    draws, found = np.random.default_rng(5), []
    for _ in range(60):
        errors = (draws.random(200) < 0.3).cumsum()
        found.append(
            next(
                n for n in range(1, 200)
                if judged(traffic(n, int(errors[n - 1])), traffic(19 * n), step(steps=steps)).decision == "fail"
            )
        )  # fmt: skip
    print(f"30 % errors beside a champion with 95 % of traffic, {steps} steps: median {np.median(found):.0f} requests")
    assert np.median(found) <= 20 and np.quantile(found, 0.9) <= 35


def test_a_release_within_its_limits_is_failed_by_at_most_alpha_of_the_rollouts() -> None:
    draws, failed, rollouts = np.random.default_rng(6), 0, 100
    for _ in range(rollouts):
        mine, other = (draws.random((2, 600)) < CONFIG.max_error_rate).cumsum(axis=1)
        failed += any(
            judged(traffic(n, int(mine[n - 1])), traffic(n, int(other[n - 1])), step(steps=1, baked=False)).decision
            == "fail"
            for n in range(10, 601, 10)
        )
    assert failed / rollouts <= CONFIG.alpha


def test_a_release_that_learnt_something_new_is_held_to_what_it_did_on_the_test_rows():
    """There labels said who is right. What it does besides is what the limits are for."""

    def apart(rows: int, shift: float, flips: float) -> Agreement:
        part = SliceAgreement(
            name="", rows=rows, flips=round(rows * flips), shift_sum=rows * shift, shift_squares=rows * shift**2
        )
        sums = part.model_dump(exclude={"name"})
        return Agreement(**sums, slices=(part.model_copy(update={"name": "origin=JFK"}),))

    def states(seen: Agreement, expected: Agreement | None) -> set[str]:
        return {check.state for check in agreement_checks(seen, CONFIG, 0.05, 100, expected)}

    learnt = apart(5000, 0.12, 0.4)
    assert states(learnt, None) == {"excluded"}  # beside another champion than the gates' it is a stranger
    assert states(learnt, apart(9000, 0.11, 0.38)) == {"within"}
    assert "excluded" in states(apart(5000, 0.25, 0.4), apart(9000, 0.11, 0.38))  # its answers are others now
    assert "excluded" in states(apart(5000, 0.12, 0.7), apart(9000, 0.11, 0.38))
    assert "excluded" in states(apart(5000, 0.0, 0.1), apart(9000, 0.11, 0.38))  # it does not do what it did
    assert "as on the test rows" in agreement_checks(learnt, CONFIG, 0.05, 100, learnt)[0].text
