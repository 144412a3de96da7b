"""A simulation's clients: they ask about rows in the order of their time, and say later what came true."""

from __future__ import annotations

import bisect
import contextlib
import json
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.config import Project
from penstock.errors import PlatformError
from penstock.label_rows import as_moment
from penstock.prediction_log import records
from penstock.simulation import Play
from tasks.data.simulated_source import live_rows
from tasks.machine.clock import SimulatedClock
from tasks.machine.settings import settings
from tasks.monitoring.collected_store import closed_segments, segment_path
from tasks.monitoring.collecting import kept_fields
from tasks.rollout.traffic import Outgoing, Sender, send_all, sending
from tasks.serving import serving
from tasks.training.samples import json_rows

if TYPE_CHECKING:
    import polars as pl

PIECE = 1000  # rows that are made JSON at once
LOGGED_SECONDS = 60.0


class Clients:
    """Each row is one request, and the clock is at its time when it goes out."""

    def __init__(self, project: Project, play: Play, clock: SimulatedClock) -> None:
        self.project, self.clock = project, clock
        self.rows = live_rows(play)
        self.times = [_utc(time) for time in as_moment(self.rows[play.time], "Datetime")]
        self.next = self.labelled = 0  # how many were sent; how many labels were told
        self.sent = self.failed = self.refused = 0
        self._unlogged: set[str] = set()
        self._read: set[str] = set()

    @property
    def left(self) -> int:
        return len(self.times) - self.next

    def send(self, until: datetime) -> None:
        """Every row before ``until``, as fast as it is answered; then it is ``until``."""
        sender = self._sender(until, math.inf)
        send_all(sender)
        self._count(sender)
        self.clock.set(until)

    @contextlib.contextmanager
    def passing(self, rate: float) -> Iterator[None]:
        """Rows go on passing, ``rate`` a second, while the block runs."""
        sender = self._sender(None, rate)
        try:
            with sending(sender):
                yield
        finally:
            self._count(sender)

    def wait_logged(self) -> None:
        """Until every answer is in a closed segment of the prediction log: what a monitor run takes."""
        end = time.monotonic() + LOGGED_SECONDS
        while len(self._unlogged) > self.failed:  # what failed at the gateway is in no log
            for segment in closed_segments(self.project.name):
                if segment.name not in self._read:
                    lines = segment_path(self.project.name, segment).read_bytes().splitlines(keepends=True)
                    self._unlogged -= {record.id for record in records(lines) if not record.shadow}
                    self._read.add(segment.name)
            if time.monotonic() > end:
                raise PlatformError(
                    "Answers are missing in the prediction log.",
                    where=str(settings().predictions / self.project.name),
                    found=f"{len(self._unlogged):,} requests that it does not have",
                )
            time.sleep(0.02)

    def labels(self, folder: Path, delay: timedelta) -> Path | None:
        """A file of the labels that came since the last one, ``delay`` after their rows; None if there are none."""
        import polars as pl

        known = self.known(delay)
        if known == self.labelled:
            return None
        rows = self.rows[self.labelled : known]
        config, label = self.project.labels, self.project.features.label
        ids = [_id(number) for number in range(self.labelled, known)]
        keys = rows.select(config.key_columns) if config.by == "keys" else pl.DataFrame({"request_id": ids})
        found = keys.with_columns(rows[label].alias(config.column or label))
        path = folder / f"labels-{known:08}.parquet"
        found.write_parquet(path)
        self.labelled = known
        return path

    def known(self, delay: timedelta) -> int:
        """How many of the rows' outcomes are known by now."""
        return min(self.next, bisect.bisect_left(self.times, self.clock.read() - delay))

    def numbers(self, ids: pl.Series) -> list[int]:
        """The places in ``rows`` of what these requests asked about."""
        return [int(identity.rpartition("-")[2]) for identity in ids]

    def _sender(self, until: datetime | None, rate: float) -> Sender:
        return Sender(serving.address(), self.project.name, self._requests(until), rate, mark=False)

    def _requests(self, until: datetime | None) -> Iterator[Outgoing]:
        while self.left:
            for body in self._bodies(self.next):
                if until is not None and self.times[self.next] >= until:
                    return
                number = self.next
                self.next += 1
                self.clock.set(self.times[number])
                self._unlogged.add(_id(number))
                yield body, {"x-request-id": _id(number), self.project.serve.sticky_header: str(number)}

    def _bodies(self, start: int) -> list[bytes]:
        fields = list(kept_fields(self.project))
        return [json.dumps(row, default=str).encode() for row in json_rows(self.rows[start : start + PIECE][fields])]

    def _count(self, sender: Sender) -> None:
        self.sent += sender.sent
        self.failed += sender.failed - sender.refused
        self.refused += sender.refused


def _id(number: int) -> str:
    return f"simulated-{number:08}"


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC)
