"""The checks of a window that are not about distributions: its fields, requests, nulls, categories, numbers, volume.

A share is beyond its limit only when chance cannot explain it: by Wilson's or Newcombe's interval (`penstock.limits`),
at `alpha` divided by the number of such checks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import median

from pydantic import FiniteFloat

from penstock.limits import difference_interval, normal, share_interval
from penstock.monitor_config import Kind, MonitorConfig
from penstock.refs import Value
from penstock.sketch import ColumnSummary, shares

WINDOWS = 3  # earlier ones that make a usual volume

Pair = tuple[ColumnSummary, ColumnSummary]  # reference, window


class Check(Value):
    """One question and its answer. ``reason`` is the answer in words, whether it is an alarm or not."""

    kind: Kind
    name: str
    column: str = ""
    value: FiniteFloat
    limit: FiniteFloat
    alarm: bool
    reason: str


def schema_checks(
    reference: Sequence[ColumnSummary], window: Sequence[ColumnSummary], allowed: Collection[str]
) -> list[Check]:
    """Columns that are missing, that nobody expects, or that have values of a type that training never saw."""
    found = {column.name: column for column in window}
    faults = [*_faults(reference, found), *_strangers(found.keys() - set(allowed))]
    if faults:
        return faults
    reason = f"all {len(reference)} features are there, of the types that training had"
    return [Check(kind="schema", name="fields", value=0, limit=0, alarm=False, reason=reason)]


def _strangers(names: set[str]) -> Iterator[Check]:
    for name in sorted(names):
        yield _schema("extra", name, 1.0, "is no field that the model knows")


def _faults(reference: Sequence[ColumnSummary], found: Mapping[str, ColumnSummary]) -> Iterator[Check]:
    for column in reference:
        if column.name not in found:
            yield _schema("missing", column.name, 1.0, "is missing")
            continue
        known, seen = dict(column.types), dict(found[column.name].types)
        foreign = {kind: count for kind, count in seen.items() if count and not known.get(kind)}
        values = sum(seen.values())
        if foreign and any(known.values()):
            kinds = " and ".join(f"{count:,} {kind}" for kind, count in sorted(foreign.items()))
            share = sum(foreign.values()) / values
            yield _schema("type", column.name, share, f"{kinds} of {values:,} values, training had {column.type}")


def refused_check(requests: int, refused: int, config: MonitorConfig) -> Check | None:
    """Requests that were refused because of their rows; None where there were no requests."""
    if not requests:
        return None
    least, _ = share_interval(refused, requests, config.alpha)
    return Check(
        kind="schema",
        name="refused requests",
        value=refused / requests,
        limit=config.max_refused_share,
        alarm=least > config.max_refused_share,
        reason=_counted("refused requests", refused, requests, config.max_refused_share),
    )


def volume_check(
    rows: int, seconds: float, earlier: Sequence[tuple[int, float]], config: MonitorConfig
) -> Check | None:
    """Rows a second beside the median of ``earlier`` (rows, seconds); None without at least `WINDOWS` of them.

    Beyond only when a Poisson count's score interval is (Rao 1948), so that two rows instead of four are no alarm.
    """
    rates = [count / time for count, time in earlier if time > 0]
    usual = median(rates) if len(rates) >= WINDOWS else 0.0
    if seconds <= 0 or usual <= 0:
        return None
    expected, z = usual * seconds, normal(config.alpha / 2)
    half = z * math.sqrt(rows + z * z / 4)
    low, high = rows + z * z / 2 - half, rows + z * z / 2 + half
    times = rows / expected
    scarce = high < config.volume_low * expected
    return Check(
        kind="volume",
        name="rows a second",
        value=times,
        limit=config.volume_low if times < 1 else config.volume_high,
        alarm=scarce or low > config.volume_high * expected,
        reason=f"{rows:,} rows are {times:.2f} times the usual {expected:,.0f}, "
        f"{config.volume_low:g} to {config.volume_high:g} times may be",
    )


def quality_checks(pairs: Sequence[Pair], config: MonitorConfig) -> list[Check]:
    """Nulls of every column, unknown categories of text, wild numbers of numbers."""
    alpha = config.alpha / max(1, 2 * len(pairs))
    checks = []
    for reference, window in pairs:
        made = (
            _nulls(reference, window, config, alpha),
            _unknown(reference, window, config, alpha),
            _wild(reference, window, config, alpha),
        )
        checks += [check for check in made if check is not None]
    return checks


def _nulls(reference: ColumnSummary, window: ColumnSummary, config: MonitorConfig, alpha: float) -> Check | None:
    if not reference.rows or not window.rows:
        return None
    before, now = reference.nulls / reference.rows, window.nulls / window.rows
    low, high = difference_interval(window.nulls, window.rows, reference.nulls, reference.rows, alpha)
    change = abs(now - before)
    return Check(
        kind="quality",
        name="nulls",
        column=window.name,
        value=now - before,
        limit=config.max_null_change,
        alarm=change > config.max_null_change and not low <= 0 <= high,
        reason=f"{window.name}: {now:.1%} nulls, training had {before:.1%}, may differ by {config.max_null_change:.1%}",
    )


def _unknown(reference: ColumnSummary, window: ColumnSummary, config: MonitorConfig, alpha: float) -> Check | None:
    """None where training's categories are not all listed: then none can be said to be unknown."""
    if reference.type != "text" or window.type != "text" or reference.unlisted:
        return None
    known = {name for name, _ in reference.levels}
    strangers = [(name, count) for name, count in window.levels if name not in known]
    count = sum(count for _, count in strangers)
    such = f", such as {strangers[0][0]!r}" if strangers else ""
    return _share_check("unknown categories", window, count, window.values, config.max_unknown_share, alpha, such)


def _wild(reference: ColumnSummary, window: ColumnSummary, config: MonitorConfig, alpha: float) -> Check | None:
    """Numbers that are infinite, or outside the reference's range by more than that range is wide.

    Just outside is drift: a summer after a winter. So far outside is another unit, or a placeholder such as -9999.
    """
    if reference.type != "number" or window.type != "number" or len(reference.points) < 2:
        return None
    low, high = reference.points[0], reference.points[-1]
    width = high - low
    infinite = max(0, dict(window.types)["number"] - window.numbers)
    outside = 0.0
    if window.numbers:
        import numpy as np

        below, upto = shares(window, np.array([low - width, high + width]))
        share = below[0] + 1 - upto[1]
        outside = max(0.0, share - window.rank_error) * window.numbers
    count, values = round(outside) + infinite, window.numbers + infinite
    return _share_check("wild numbers", window, count, values, config.max_wild_share, alpha)


def _share_check(
    name: str, window: ColumnSummary, count: int, values: int, limit: float, alpha: float, such: str = ""
) -> Check | None:
    if not values:
        return None
    least, _ = share_interval(count, values, alpha)
    return Check(
        kind="quality",
        name=name,
        column=window.name,
        value=count / values,
        limit=limit,
        alarm=least > limit,
        reason=f"{window.name}: {_counted(name, count, values, limit)}{such}",
    )


def _schema(name: str, column: str, share: float, text: str) -> Check:
    return Check(kind="schema", name=name, column=column, value=share, limit=0, alarm=True, reason=f"{column}: {text}")


def _counted(name: str, count: int, of: int, limit: float) -> str:
    return f"{count:,} {name} of {of:,} ({count / of:.1%}), {limit:.1%} may be"
