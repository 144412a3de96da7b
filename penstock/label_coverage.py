"""How much of each period is labelled, and whether that is enough to call its quality final.

Labels that have not come are rarely like those that have: fraud is reported before its absence is believed, cancelled
orders never get an outcome. So a period is mature only after a time *and* with enough of its predictions labelled.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from penstock.label_config import LabelsConfig
from penstock.label_rows import LABEL, as_moment
from penstock.labels import ARRIVED
from penstock.refs import Value
from penstock.served import column_of

if TYPE_CHECKING:
    import polars as pl

PERIOD, BEGINS = "__period__", "__begins__"
STEPS = {"day": "1d", "week": "1w", "month": "1mo"}
NAMES = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}


class Coverage(Value):
    """One period: how many predictions are to be judged and how many are labelled. ``arrived``: the newest batch that
    it has labels of. ``waits_for``: why it is provisional; "" if it is mature."""

    period: str  # "2013-09-01", "2013-W35", "2013-09"
    begins: str  # ISO 8601, UTC
    ends: str
    served: int
    labelled: int
    arrived: int
    waits_for: str

    @property
    def mature(self) -> bool:
        return not self.waits_for

    @property
    def share(self) -> float:
        return self.labelled / self.served

    def __str__(self) -> str:
        year, _, week = self.period.partition("-W")
        name = f"week {int(week)} of {year}" if week else self.period
        state = "final" if self.mature else f"provisional, {self.waits_for}"
        return f"{math.floor(100 * self.share)} % of {name} labelled: {state}"  # never rounded up to a limit


def with_period(rows: pl.DataFrame, config: LabelsConfig) -> pl.DataFrame:
    """``rows`` with the name and the beginning of the period of each; without those that have no time."""
    import polars as pl

    if config.time is None:
        moment = pl.from_epoch(rows["time_ns"], "ns").cast(pl.Datetime("us"))
    else:
        moment = as_moment(rows[column_of(config.time)], "Datetime")
    begins = moment.dt.truncate(STEPS[config.period])
    named = begins.dt.to_string(NAMES[config.period])
    return rows.with_columns(named.alias(PERIOD), begins.alias(BEGINS)).filter(pl.col(PERIOD).is_not_null())


def coverage(rows: pl.DataFrame, config: LabelsConfig, now: datetime) -> list[Coverage]:
    """Each period that has predictions, oldest first. ``rows``: `penstock.labels.labelled`; ``now`` knows its zone."""
    import polars as pl

    periods = (
        with_period(rows, config)
        .group_by(PERIOD, BEGINS)
        .agg(pl.len().alias("served"), pl.col(LABEL).count().alias("labelled"), pl.col(ARRIVED).max().fill_null(0))
        .sort(BEGINS)
        .with_columns(ends=pl.col(BEGINS).dt.offset_by(STEPS[config.period]))
    )
    return [
        Coverage(
            period=one[PERIOD],
            begins=_utc(one[BEGINS]).isoformat(),
            ends=_utc(one["ends"]).isoformat(),
            served=one["served"],
            labelled=one["labelled"],
            arrived=one[ARRIVED],
            waits_for=_waits_for(_utc(one["ends"]), one["labelled"] / one["served"], config, now),
        )
        for one in periods.iter_rows(named=True)
    ]


def at(found: Coverage, config: LabelsConfig, now: datetime) -> Coverage:
    """``found`` as it is ``now``, with the same labels."""
    ends = datetime.fromisoformat(found.ends)
    return found.model_copy(update={"waits_for": _waits_for(ends, found.share, config, now)})


def _waits_for(ends: datetime, share: float, config: LabelsConfig, now: datetime) -> str:
    final = ends + timedelta(hours=config.mature_hours)
    waits = []
    if now < final:
        waits.append(f"not before {final:%Y-%m-%d %H:%M}")
    if share < config.min_coverage:
        waits.append(f"needs {config.min_coverage:.0%}")
    return ", ".join(waits)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
