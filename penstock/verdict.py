"""What becomes of a step of a rollout: pass, fail or hold. `decide()` is a pure function, asked as often as one likes.

FAIL as soon as the evidence excludes a limit, before the step's time is up or after. Every interval is a confidence
sequence (`penstock.sequences`), so looking after every request costs nothing: over the whole rollout, a release that in
each step is within its limits, or no worse than the champion beside it, is failed with probability at most
`rollout.alpha`. That is a union bound. alpha has five equal parts: errors since the rollout began (one sequence over
all steps), errors of a step, slow requests, prediction shift, flips; the last four are divided by the number of steps,
and the last two of them between all rows and slices. The arms need no division: to fail, the challenger must be
excluded from the limit *and* from the champion's share, and where one of the two is really held, that one's exclusion
is false and has the whole part.

PASS claims what the step is for. A step before the last lets more traffic through, and the watch goes on: it passes
when its time is up, each arm has `min_requests`, and nothing measured is beyond its limit. It does not ask for an
interval: 0 errors in 100 requests still allow 9 %, and steps that waited to exclude 2 % would need 500 requests each.
The last step says "healthy", which is a claim: it passes only if the upper bound of the share of errors since the
rollout began excludes `tolerated()`, twice the limit. Without an error that takes about 190 requests, at half the limit
480, at the limit itself 1,300, so a couple of thousand are enough for any release that is within its limit.

HOLD is everything else, with what is missing. No traffic is a hold, never a pass. When the longest wait is over the
decision is still "hold", and the flow applies `on_hold`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from penstock.agreement import Agreement
from penstock.refs import Value
from penstock.release_config import RolloutConfig
from penstock.rollout_checks import (
    Check,
    Pair,
    agreement_checks,
    error_check,
    percent,
    slow_bound,
    slow_check,
)
from penstock.sequences import more_for_proportion
from penstock.traffic import Traffic

PARTS = 5  # of alpha
LEAST_TOLERATED = 0.01  # a limit of 0 could never be shown to hold


class Step(Value):
    """Where the rollout is. ``steps``: how many there are in all; they share alpha, so it must not change midway."""

    name: str  # "replay", "shadow", "canary 5 %", "bake"
    steps: int = Field(ge=1)
    baked: bool  # the step's least time has passed
    waited_out: bool = False  # `max_wait_seconds` has passed
    last: bool = False  # after it the release counts as healthy


class Evidence(Value):
    """What was seen. Windows of this step: ``challenger``, and ``champion`` (None: it answers nothing in this step).

    ``earlier``: the windows of the steps before, (challenger, champion), oldest first. ``agreement``: pairs of answers
    where both answered the same requests; ``expected``: the same on the test rows (`agreement_checks`).
    ``slow_ms``: what was slow, in ms, in the last step that had a champion
    (`slow_bound()`), for steps that have none; without it such a step does not judge latency.
    """

    challenger: Traffic
    champion: Traffic | None = None
    earlier: tuple[Pair, ...] = ()
    agreement: Agreement | None = None
    expected: Agreement | None = None
    slow_ms: float | None = None


class Verdict(Value):
    """The decision, every check behind it, and in words what made it fail or what it waits for.

    ``needs``: about so many more requests to the challenger, as far as requests are what is missing.
    """

    decision: Literal["pass", "fail", "hold"]
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    needs: int

    def __str__(self) -> str:
        return f"{self.decision}: " + ("; ".join(self.reasons) or f"{len(self.checks)} checks within their limits")


def decide(config: RolloutConfig, step: Step, seen: Evidence, min_slice_rows: int = 100) -> Verdict:
    """Judge ``step`` by what was ``seen`` so far. Slices of fewer than ``min_slice_rows`` compared rows are not judged.

    Nothing is raised: what is missing is a hold.
    """
    whole = config.alpha / PARTS
    checks = tuple(_checks(config, step, seen, whole, min_slice_rows))
    failed = tuple(check.text for check in checks if check.state == "excluded")
    if failed:
        return Verdict(decision="fail", reasons=failed, checks=checks, needs=0)
    missing = [*_too_few(config, seen), *_open(checks), *_unproven(config, step, checks, whole)]
    reasons = [reason for reason, _ in missing]
    if step.waited_out and reasons:
        reasons.append(f"the longest wait of step {step.name!r} is over: `on_hold: {config.on_hold}` decides")
    if not step.baked:
        reasons.append(f"the time of step {step.name!r} is not up")
    return Verdict(
        decision="hold" if reasons else "pass",
        reasons=tuple(reasons),
        checks=checks,
        needs=max((needs for _, needs in missing), default=0),
    )


def tolerated(config: RolloutConfig) -> float:
    """The share of errors that must be excluded before a release counts as healthy: twice the limit, at least 1 %."""
    return max(2 * config.max_error_rate, LEAST_TOLERATED)


def _checks(config: RolloutConfig, step: Step, seen: Evidence, whole: float, min_slice_rows: int) -> Iterator[Check]:
    """The first is of the errors since the rollout began."""
    each, here = whole / step.steps, (seen.challenger, seen.champion)
    if not seen.earlier:
        yield error_check("errors", (here,), config.max_error_rate, whole)
    else:
        yield error_check("errors since the rollout began", (*seen.earlier, here), config.max_error_rate, whole)
        yield error_check("errors", (here,), config.max_error_rate, each)
    if _judges_latency(seen):
        slow_ms = seen.slow_ms if seen.champion is None else slow_bound(seen.champion, seen.challenger, config)
        yield slow_check(seen.challenger, seen.champion, slow_ms, config.max_slow_share, each)
    if seen.agreement is not None:
        yield from agreement_checks(seen.agreement, config, each, min_slice_rows, seen.expected)


def _too_few(config: RolloutConfig, seen: Evidence) -> Iterator[tuple[str, int]]:
    """What has too small a count to be judged, and how many more requests to the challenger that is."""
    counts = [("the challenger", "requests", seen.challenger.requests, True)]
    if seen.champion is not None:
        counts.append(("the champion", "requests", seen.champion.requests, False))
    if _judges_latency(seen):
        counts.append(("the challenger", "latencies", seen.challenger.answered, True))
    if seen.champion is not None:
        counts.append(("the champion", "latencies", seen.champion.answered, False))
    if seen.agreement is not None:
        counts.append(("the comparison", "rows", seen.agreement.rows, True))
    for who, what, count, own in counts:
        more = config.min_requests - count
        if more > 0:
            yield f"{who} needs about {more:,} more {what} ({count:,} of {config.min_requests:,})", own * more


def _open(checks: tuple[Check, ...]) -> Iterator[tuple[str, int]]:
    """What cannot be judged, or is beyond its limit as measured but not beyond doubt."""
    for check in checks:
        if check.state == "unknown":
            yield check.text, 0
        elif check.state == "beyond":
            more = f", needs about {check.needs:,} more to tell" if check.needs else ""
            yield f"undecided: {check.text}{more}", check.needs


def _unproven(config: RolloutConfig, step: Step, checks: tuple[Check, ...], alpha: float) -> Iterator[tuple[str, int]]:
    """In the last step: that errors since the rollout began are not yet shown to be rare enough."""
    errors, most = checks[0], tolerated(config)
    if not step.last or errors.value is None or errors.upper <= most:
        return
    bad = errors.value * errors.rows
    needs = (more_for_proportion(bad, errors.rows, most, alpha) or 0) if errors.value < most else 0
    more = f", needs about {needs:,} more requests" if needs else ""
    yield f"errors may still be {percent(errors.upper)}, healthy is at most {percent(most)}{more}", needs


def _judges_latency(seen: Evidence) -> bool:
    return seen.champion is not None or seen.slow_ms is not None
