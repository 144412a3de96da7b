"""What one release did in a window of time: requests, errors and a latency histogram, as gateways count them.

Gateways' counters only grow, until a gateway restarts: `delta()` makes a window of two readings of *one* gateway, and
windows are then added, `sum(windows, Traffic())`. (Summed first, one gateway's restart would hide in another's
growth.) A reading that cannot be true (NaN, infinite or negative) is no information, so no traffic, never an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pydantic import ConfigDict, model_validator

from penstock.refs import Value


class Traffic(Value):
    """Attempts and how they ended. ``errors`` are attempts that failed: 5xx, timeouts, resets.

    ``latency`` is a histogram, (upper bound of a bucket in ms, answers in that bucket alone), by rising bound, empty
    buckets included; the last bound may be inf. It may count fewer than ``requests``: histograms lag, and a try that
    timed out is in none.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")  # the last bound comes back from JSON as inf, not as null

    requests: int = 0
    errors: int = 0
    latency: tuple[tuple[float, int], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _only_what_can_be_true(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        requests, errors = _count(data.get("requests", 0)), _count(data.get("errors", 0))
        if requests is None or errors is None:
            return {**data, "requests": 0, "errors": 0, "latency": ()}
        # the two counters are not read at the same instant: a failure may be counted before its request is
        return {**data, "requests": max(requests, errors), "errors": errors, "latency": _buckets(data)}

    @property
    def answered(self) -> int:
        """Answers whose latency is known."""
        return sum(count for _, count in self.latency)

    def slower_than(self, bound: float) -> int:
        """Answers in buckets above ``bound`` (ms)."""
        return sum(count for upper, count in self.latency if upper > bound)

    def percentile(self, share: float) -> float | None:
        """The latency (ms) that this share of answers does not exceed; None where there are none.

        Linear within a bucket, as Prometheus's `histogram_quantile` reads one; inf in a bucket that has no end.
        """
        left, lower = share * self.answered, 0.0
        for upper, count in self.latency:
            if count and left <= count:
                return lower + (upper - lower) * left / count
            left, lower = left - count, upper
        return None

    def __add__(self, other: Traffic) -> Traffic:
        """Both windows together; of buckets with the same bound one is made."""
        return Traffic(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            latency=self.latency + other.latency,
        )


def delta(before: Traffic, after: Traffic) -> Traffic:
    """What happened between two readings of one gateway's counters.

    A counter that went backwards, or a bucket that is gone, means that the gateway restarted: then its counts since
    the restart are all that is known, and that is ``after`` itself.
    """
    was, now = dict(before.latency), dict(after.latency)
    restarted = (
        after.requests < before.requests
        or after.errors < before.errors
        or any(now.get(bound, 0) < count for bound, count in was.items())
    )
    if restarted:
        return after
    return Traffic(
        requests=after.requests - before.requests,
        errors=after.errors - before.errors,
        latency=tuple((bound, count - was.get(bound, 0)) for bound, count in after.latency),
    )


def _count(value: Any) -> int | None:
    try:
        return int(value) if math.isfinite(value) and value >= 0 else None
    except (TypeError, ValueError):
        return None


def _buckets(data: dict[str, Any]) -> tuple[tuple[float, int], ...]:
    found: dict[float, int] = {}
    pairs: Iterable[tuple[Any, Any]] = data.get("latency", ())
    for bound, value in pairs:
        count = _count(value)
        if count is None or bound is None or math.isnan(float(bound)):
            return ()  # a histogram with a hole would misplace every percentile
        found[float(bound)] = found.get(float(bound), 0) + count
    return tuple(sorted(found.items()))
