"""The questions a rollout's verdict asks: a share or a mean, its confidence sequence, and the limit it is held to.

Every function is pure and returns a `Check` with a state: ``within`` its limit, ``beyond`` it as measured but not
beyond doubt, ``excluded`` (the interval leaves the limit out: a reason to fail), or ``unknown`` (nothing measured).
"""

from __future__ import annotations

import math
from typing import Literal

from penstock.agreement import Agreement, SliceAgreement
from penstock.refs import Value
from penstock.release_config import RolloutConfig
from penstock.sequences import (
    evidence_above,
    evidence_worse,
    mean_interval,
    more_for_mean,
    more_for_proportion,
    more_for_worse,
    proportion_interval,
)
from penstock.traffic import Traffic

Pair = tuple[Traffic, Traffic | None]  # challenger and champion in one window; None: no champion there

FEWEST_FOR_P95 = 20  # below this the 95th percentile is the slowest answer


class Check(Value):
    """One question and its answer. Shares and shifts are fractions; ``lower``, ``upper`` are of a confidence sequence.

    ``needs``: about so many more requests (or compared rows) until a value that is beyond its limit can be told from
    it; 0 where that is no question or has no answer.
    """

    name: str  # "errors", "slow requests", "prediction shift", "flips on origin=JFK"
    value: float | None
    limit: float
    lower: float
    upper: float
    rows: int
    state: Literal["within", "beyond", "excluded", "unknown"]
    text: str
    needs: int = 0

    def __str__(self) -> str:
        return self.text


def error_check(name: str, pairs: tuple[Pair, ...], limit: float, alpha: float) -> Check:
    """The challenger's share of failed requests over ``pairs``, windows of which the champion's share excuses each.

    With several windows the champion is compared window by window and the evidences are multiplied: over windows with
    other splits of traffic, an outage that both share would look like the challenger's alone (Simpson's paradox).
    Each is first averaged with 1, so that a window that says nothing costs no more than log 2.
    """
    bad, rows = sum(arm.errors for arm, _ in pairs), sum(arm.requests for arm, _ in pairs)
    champions = [champion for _, champion in pairs if champion is not None]
    if not champions:
        return _share_check(name, bad, rows, limit, alpha)
    evidence = sum(_averaged(_window_evidence(pair, limit)) for pair in pairs)
    beside = (sum(one.errors for one in champions), sum(one.requests for one in champions))
    return _share_check(name, bad, rows, limit, alpha, evidence, beside)


def slow_bound(champion: Traffic, challenger: Traffic, config: RolloutConfig) -> float | None:
    """Above which latency (ms) a request is slow: the bucket's bound at or next above the champion's p95 and margin.

    None: the champion has answered too few requests, or the histogram does not reach that far.
    """
    if champion.answered < FEWEST_FOR_P95:
        return None
    p95 = champion.percentile(0.95)
    least = math.inf if p95 is None else p95 * config.latency_factor + config.latency_slack_ms
    return _bound_above(least, challenger, champion)


def slow_check(
    challenger: Traffic, champion: Traffic | None, slow_ms: float | None, limit: float, alpha: float
) -> Check:
    """The challenger's share of answers above ``slow_ms``; of the champion's own share it must be the worse to fail.

    The bound moves while the champion's p95 settles. That costs no alpha: above any bound at which the challenger is
    within its limit it has at most as many slow answers as above the lowest such bound. (The comparison of the two
    arms is exact for a bound that stays; it can only keep a release from failing.)
    """
    bound = None if slow_ms is None else _bound_above(slow_ms, challenger, champion or Traffic())
    if bound is None:
        why = "no latency to judge by, or the histogram ends below what would be slow"
        return _unknown("slow requests", limit, challenger.answered, f"slow requests: {why}")
    name = f"slow requests (above {bound:g} ms)"
    bad, rows = challenger.slower_than(bound), challenger.answered
    if champion is None:
        return _share_check(name, bad, rows, limit, alpha)
    beside = (champion.slower_than(bound), champion.answered)
    return _share_check(name, bad, rows, limit, alpha, evidence_worse(bad, rows, *beside), beside)


def agreement_checks(
    found: Agreement, config: RolloutConfig, alpha: float, min_slice_rows: int, expected: Agreement | None = None
) -> list[Check]:
    """Mean shift and share of flips, overall and on each slice of at least ``min_slice_rows`` rows.

    ``expected``: how far the two are apart on the test rows, where labels said who is right, and the gates let the
    release pass. A release that learnt something new answers otherwise than the champion; what the limits are for is
    that it answers otherwise than it did there. So the mean shift is measured from the one there, and as many rows may
    be decided otherwise as there, and `max_flips` more. None: the champion is not the one it was compared with.

    Each of the two limits gets ``alpha``: half for all rows, half shared by the slices (Bonferroni, which for "fail if
    any" is also Holm's first step). All slices share, small ones too: one that grows takes nothing from the others.
    Of several classes the shift of each is judged over all rows, and they share in the same way.
    """
    half = alpha / 2
    limit = config.max_prediction_shift
    flips = _share_check("flips", found.flips, found.rows, _flips_limit(config, expected), half)
    if found.classes:
        each = half / len(found.classes)
        known = {one.name: one for one in expected.classes} if expected else {}
        checks = [
            _shift_check(f"prediction shift of {one.name}", one, limit, each, mean_shift(known.get(one.name)))
            for one in found.classes
        ]
    else:
        checks = [_shift_check("prediction shift", found, limit, half, mean_shift(expected))]
    checks.append(flips)
    for part in found.slices:
        if part.rows >= min_slice_rows:
            each = half / len(found.slices)
            beside = expected.of(part.name) if expected else None
            if not found.classes:
                name = f"prediction shift on {part.name}"
                checks.append(_shift_check(name, part, limit, each, mean_shift(beside)))
            least = _flips_limit(config, beside)
            checks.append(_share_check(f"flips on {part.name}", part.flips, part.rows, least, each))
    return checks


def mean_shift(part: Agreement | SliceAgreement | None) -> float:
    """The mean of the shifts; 0 of nothing."""
    return part.shift_sum / part.rows if part is not None and part.rows else 0.0


def _flips_limit(config: RolloutConfig, expected: Agreement | SliceAgreement | None) -> float:
    share = expected.flips / expected.rows if expected is not None and expected.rows else 0.0
    return min(1.0, share + config.max_flips)


def _share_check(
    name: str,
    bad: int,
    rows: int,
    limit: float,
    alpha: float,
    worse: float = math.inf,
    beside: tuple[int, int] | None = None,
) -> Check:
    """``worse``: the evidence that the share is above the champion's, whose counts are ``beside``."""
    if not rows:
        return _unknown(name, limit, 0, f"{name}: nothing measured, allowed {percent(limit)}")
    lower, upper = proportion_interval(bad, rows, alpha)
    rate, beaten = bad / rows, worse >= -math.log(alpha)
    state: Literal["within", "beyond", "excluded"] = "within" if rate <= limit else "beyond"
    if lower > limit and beaten:
        state = "excluded"
    between = f"at least {percent(lower)}" if state == "excluded" else f"{percent(lower)} to {percent(upper)}"
    text = f"{name} {bad:,} of {rows:,} ({percent(rate)}, {between}), allowed {percent(limit)}"
    needs: int | None = 0
    if beside is not None:
        share = f" ({percent(beside[0] / beside[1])})" if beside[1] else ""
        text += f", champion {beside[0]:,} of {beside[1]:,}{share}"
    if state == "beyond":
        needs = more_for_proportion(bad, rows, limit, alpha)
        if beside is not None and not beaten:  # half of alpha pays for the averaging of `_averaged`
            both = more_for_proportion(bad, rows, limit, alpha / 2), more_for_worse(bad, rows, *beside, alpha / 2)
            needs = None if both[0] is None or both[1] is None else max(both[0], both[1])
    return Check(
        name=name, value=rate, limit=limit, lower=lower, upper=upper, rows=rows, state=state, text=text,
        needs=needs or 0,
    )  # fmt: skip


def _shift_check(
    name: str, part: Agreement | SliceAgreement, limit: float, alpha: float, expected: float = 0.0
) -> Check:
    sums = (part.rows, part.shift_sum, part.shift_squares)
    if not part.rows or not all(map(math.isfinite, sums)):
        return _unknown(name, limit, 0, f"{name}: nothing compared, allowed {limit:.3f}")
    lower, upper = mean_interval(*sums, alpha)
    mean = mean_shift(part)
    state: Literal["within", "beyond", "excluded"] = "within" if abs(mean - expected) <= limit else "beyond"
    if lower > expected + limit or upper < expected - limit:
        state = "excluded"
    needs: int | None = 0
    if state == "beyond":
        sign = 1 if mean > expected else -1
        end = limit + sign * expected
        needs = more_for_mean(part.rows, sign * part.shift_sum, part.shift_squares, end, alpha) if end >= 0 else None
    around = f" either way of {expected:+.3f}, as on the test rows" if expected else " either way"
    text = f"{name} {mean:+.3f} on {part.rows:,} rows ({lower:+.3f} to {upper:+.3f}), allowed {limit:.3f}{around}"
    return Check(
        name=name, value=mean, limit=limit, lower=lower, upper=upper, rows=part.rows, state=state, text=text,
        needs=needs or 0,
    )  # fmt: skip


def _unknown(name: str, limit: float, rows: int, text: str) -> Check:
    return Check(name=name, value=None, limit=limit, lower=0.0, upper=1.0, rows=rows, state="unknown", text=text)


def _window_evidence(pair: Pair, limit: float) -> float:
    """The lesser of two evidences: a window within the limit must not incriminate one with an outage."""
    challenger, champion = pair
    above = evidence_above(challenger.errors, challenger.requests, limit)
    if champion is None:
        return above
    return min(above, evidence_worse(challenger.errors, challenger.requests, champion.errors, champion.requests))


def _averaged(evidence: float) -> float:
    """The logarithm of the mean of a martingale and the constant 1."""
    return (evidence + math.log1p(math.exp(-evidence)) if evidence > 0 else math.log1p(math.exp(evidence))) - math.log(
        2
    )


def _bound_above(least: float, *arms: Traffic) -> float | None:
    bounds = [bound for arm in arms for bound, _ in arm.latency if least <= bound < math.inf]
    return min(bounds, default=None)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
