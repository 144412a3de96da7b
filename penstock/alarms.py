"""What monitoring may find wrong. Schema skew and drift are found elsewhere; a drop of quality is found here."""

from __future__ import annotations

from pydantic import Field

from penstock.intervals import Measured
from penstock.refs import Value
from penstock.retrain_config import Cause, RetrainConfig
from penstock.task_type import IN_UNITS, LOWER_IS_BETTER, LiveMetric


class Alarm(Value):
    """Something that monitoring found wrong, and by what: ``reason`` is one line."""

    cause: Cause
    reason: str
    facts: dict[str, str] = Field(default_factory=dict)


def performance_drop(
    metric: LiveMetric, live: Measured | None, holdout: float | None, final: bool, config: RetrainConfig
) -> Alarm | None:
    """The alarm of a release whose live ``metric`` may be, or surely is (`retrain.drop`), more than the margin worse
    than on its own test rows. Nothing provisional raises one, and nothing that cannot be compared."""
    if live is None or holdout is None or not final:
        return None
    lower = metric in LOWER_IS_BETTER
    margin = config.margin * abs(holdout) if metric in IN_UNITS else config.margin
    limit = holdout + margin if lower else holdout - margin
    worst, best = (live.high, live.low) if lower else (live.low, live.high)
    end = worst if config.drop == "possible" else best
    if not (end > limit if lower else end < limit):
        return None
    word = "may be" if config.drop == "possible" else "is"
    return Alarm(
        cause="performance drop",
        reason=f"{metric} {word} more than {margin:g} worse than on test rows: {live}, was {holdout:.4f}",
        facts={"metric": metric, "low": str(live.low), "high": str(live.high), "holdout": str(holdout)},
    )
