"""What monitor runs took from the prediction log: each closed segment exactly once, in numbered windows.

A window's file is created once and never changed; the segments it lists are taken, and no others are. So a monitor that
is killed has taken a window whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import Field

from penstock.errors import StorageError
from penstock.refs import FileRef, Value

BATCH = ".batch"  # what the name of a segment ends with that is a scored file


class Segment(Value):
    """A closed file of the prediction log, named by the release that wrote it."""

    model: str
    name: str

    @property
    def batch(self) -> bool:
        """Whether it is a scored file, see `penstock/scored.py`."""
        return self.name.endswith(BATCH)


class Counts(Value):
    """Requests of production: those that clients sent, and beside them a deploy flow's own and mirrored copies."""

    requests: int = 0
    rows: int = 0
    refused: dict[str, int] = Field(default_factory=dict)
    replayed: int = 0
    copies: int = 0

    @property
    def refused_requests(self) -> int:
        return sum(self.refused.values())


class Collected(Value):
    """One window. ``rows``: served predictions as `penstock/served.py` has them (Parquet), None where there are none.

    ``since`` and ``until``: nanoseconds since 1970 of the first and the last request. ``models``: rows by release.
    ``profile``: whylogs, of the rows. ``day``: the UTC day (ISO 8601) of its last request, or of an earlier window's if
    that is later, so that days only rise.
    """

    number: int
    project: str
    closed: str  # ISO 8601, UTC
    since: int
    until: int
    segments: tuple[Segment, ...]
    rows: FileRef | None
    profile: FileRef | None
    counts: Counts
    models: dict[str, int]
    batch: bool = False  # scored files, each row of which counts as a request; not traffic
    day: str = ""  # of windows from before it was kept

    @property
    def release(self) -> str:
        """Which release answered most rows of it; "" where none was answered."""
        return max(self.models, key=lambda name: self.models[name], default="")

    @property
    def seconds(self) -> float:
        return max(self.until - self.since, 0) / 1e9

    def __str__(self) -> str:
        refused = f", {self.counts.refused_requests:,} refused" if self.counts.refused_requests else ""
        if self.batch:
            return f"window {self.number}: scored files, {self.counts.rows:,} rows{refused}"
        return f"window {self.number}: {self.counts.requests:,} requests, {self.counts.rows:,} rows{refused}"


def taken(windows: Sequence[Collected]) -> set[Segment]:
    """Every segment that some window has."""
    return {segment for window in windows for segment in window.segments}


def pending(found: Sequence[Segment], windows: Sequence[Collected]) -> list[Segment]:
    """The segments that no window has yet, oldest first: their names begin with the time they were opened."""
    known = taken(windows)
    return sorted((segment for segment in found if segment not in known), key=lambda segment: segment.name)


def day_of(until: int, before: Collected | None) -> str:
    """The day of a window that ends at ``until`` (nanoseconds since 1970) and comes after the window ``before``."""
    day = datetime.fromtimestamp(until / 1e9, UTC).date().isoformat()
    return max(day, before.day) if before else day


def require_unbroken(numbers: Sequence[int], where: str) -> None:
    """Raise StorageError unless the windows' ``numbers`` are 1, 2, 3 and on."""
    for expected, number in enumerate(numbers, 1):
        if number != expected:
            raise StorageError(
                "A window's file is missing.",
                where=where,
                found=f"number {number} where {expected} should be",
                next_step="put the file back from a backup: what it took would be counted again",
            )


def require_apart(windows: Sequence[Collected], where: str) -> None:
    """Raise StorageError if a segment was taken twice."""
    if sum(len(window.segments) for window in windows) != len(taken(windows)):
        raise StorageError("Two windows took the same segment.", where=where, next_step="restore from a backup")
