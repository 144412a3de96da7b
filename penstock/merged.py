"""Days, weeks and months of served rows: the windows' profiles merged, and the verdict on what came out.

A window belongs to the day of its last request, in UTC. A day is finished when a later window has come; an ISO week or
a month when a later day has.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

from penstock.refs import FileRef, Value
from penstock.window import WindowDrift

Span = Literal["day", "week", "month"]
SPANS: tuple[Span, ...] = ("day", "week", "month")


class Merged(Value):
    """One finished day, week or month. ``windows``: their numbers, of those that have rows; ``profile``: whylogs.

    ``verdict``: its features beside the training rows of the release that answered last; no alarm follows from it.
    """

    span: Span
    name: str  # "2025-08-20", "2025-W34", "2025-08"
    windows: tuple[int, ...]
    rows: int
    profile: FileRef
    verdict: WindowDrift


def name_of(day: str, span: Span) -> str:
    """The name of the span that a day (ISO 8601) belongs to."""
    at = date.fromisoformat(day)
    week = at.isocalendar()
    return {"day": day, "week": f"{week.year}-W{week.week:02}", "month": day[:7]}[span]


def days_of(name: str, span: Span) -> list[str]:
    """The days of a week or a month, by its name."""
    begins = date.fromisoformat(f"{name}-1" if span == "week" else f"{name}-01")
    days = (begins + timedelta(days=number) for number in range(31))
    return [day.isoformat() for day in days if name_of(day.isoformat(), span) == name]


def finished(days: Sequence[str], newest: str, span: Span) -> list[str]:
    """The spans that ``days`` are of and that ended before the day ``newest``, in order, each once."""
    now = name_of(newest, span)
    return sorted({name for name in (name_of(day, span) for day in days) if name < now})
