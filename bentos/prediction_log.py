"""Writes the prediction log: one JSON line for each predict request that was answered or refused.

    {"time_ns": .., "id": .., "model": .., "environment": .., "shadow": .., "replay": .., "status": ..,
     "request": <the JSON that came>, "response": <the JSON that went>}

A request in Arrow is base64 under `request_arrow`, one that is no JSON is the base64 of its beginning under
`request_base64`, and one that may not be kept is null. The request's path only appends to a list; a thread does the
writing (`bentos/segments.py`). When the disk is full or slow, records are dropped and counted, and serving goes on.
"""

from __future__ import annotations

import atexit
import base64
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bentos import segments
from penstock.release_config import LogConfig

TICK = 0.2  # seconds between two writes
MOST_WAITING = 64_000_000  # bytes that may wait for the disk
RETAIN_EVERY = 300.0  # seconds between two looks at old segments
COMPLAIN_EVERY = 60.0
KEPT_OF_BROKEN = 4096  # bytes of a body that is no JSON

logger = logging.getLogger("penstock")


class PredictionLog:
    """The log of one process. ``dropped`` is called with a number of records whenever some are lost."""

    def __init__(self, folder: Path, config: LogConfig, dropped: Callable[[int], None]) -> None:
        self._folder, self._config, self._dropped = folder, config, dropped
        self._waiting: list[bytes] = []
        self._size = 0
        self._segment: segments.Segment | None = None
        self._next_retain = self._next_complaint = 0.0
        self._ending = threading.Event()
        self._adding, self._closing = threading.Lock(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def add(self, record: bytes) -> None:
        """Keep one record, a line. Costs an append; never waits for the disk."""
        with self._adding:
            fits = self._size + len(record) <= MOST_WAITING
            if fits:
                self._size += len(record)
                self._waiting.append(record)
        if not fits:
            self._dropped(1)

    def close(self) -> None:
        """Write what waits and close the segment. Called when the server stops; may be called again."""
        self._ending.set()
        self._thread.join(10)
        with self._closing:
            self._tick()
            self._finish()

    def _run(self) -> None:
        self._guarded(lambda: segments.adopt(self._folder))
        while not self._ending.wait(TICK):
            with self._closing:
                self._tick()
            self._guarded(self._retain)

    def _tick(self) -> None:
        with self._adding:
            waiting, self._waiting, self._size = self._waiting, [], 0
        if waiting:
            lines = b"".join(waiting)
            kept = self._write(lines)
            if kept < len(lines):
                self._dropped(len(waiting) - lines.count(b"\n", 0, kept))
        segment = self._segment
        if segment:
            age = time.monotonic() - segment.began
            if age >= self._config.segment_seconds or segment.size >= self._config.segment_mb * 1e6:
                self._finish()

    def _write(self, lines: bytes) -> int:
        try:
            if self._segment is None:
                self._segment = segments.Segment(self._folder)
            kept, error = self._segment.append(lines)
        except OSError as trouble:  # no file can be made, or half a line cannot be taken back: nothing may follow it
            self._complain(trouble)
            if self._segment:
                self._segment.abandon()
                self._segment = None
            return 0
        if error:
            self._complain(error)
        return kept

    def _retain(self) -> None:
        if time.monotonic() >= self._next_retain:
            self._next_retain = time.monotonic() + RETAIN_EVERY
            segments.retain(self._folder.parent, self._config.keep_days * 86400, self._config.keep_mb * 1e6)

    def _finish(self) -> None:
        segment, self._segment = self._segment, None
        if segment:
            self._guarded(segment.close)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if time.monotonic() >= self._next_complaint:
            self._next_complaint = time.monotonic() + COMPLAIN_EVERY
            logger.error("prediction log %s: %s", self._folder, error)


def record(identity: str, source: bytes, status: int, request: bytes, response: bytes) -> bytes:
    """One line. ``source``: members from `model` to `replay`; ``request``: a member with its name."""
    if b"\n" in request:
        request = request.replace(b"\n", b" ")  # JSON has newlines between its tokens only
    return b'{"time_ns":%d,"id":"%b",%b,"status":%d,%b,"response":%b}\n' % (
        time.time_ns(),
        identity.encode(),
        source,
        status,
        request,
        response,
    )


def json_member(body: bytes) -> bytes:
    return b'"request":' + body


def arrow_member(body: bytes) -> bytes:
    return b'"request_arrow":"%b"' % base64.b64encode(body)


def broken_member(body: bytes) -> bytes:
    return b'"request":null,"request_base64":"%b"' % base64.b64encode(body[:KEPT_OF_BROKEN])


NO_REQUEST = b'"request":null'
