"""Requests that Penstock sends itself: a deploy flow's, of recorded or held-out rows, and a simulation's.

A deploy flow marks its own (`x-penstock-replay`), so that monitoring leaves them out.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from penstock.candidate import Candidate
from penstock.config import FeaturesConfig
from penstock.prediction_log import records
from tasks.packaging.model_server import api_key
from tasks.serving.release_server import log_folder
from tasks.store.store import readable_errors
from tasks.training.samples import json_rows, sample_rows

SENDERS = 8
REFUSED = 422
MARK = {"x-penstock-replay": "1"}


def recorded(project: str, version: str, most: int) -> list[bytes]:
    """The bodies of the last requests that clients sent to a release in production, newest first."""
    folder = log_folder(project, version)
    found: list[bytes] = []
    with readable_errors(folder):
        for path in sorted(folder.glob("*.[jo]*"), reverse=True):
            lines = path.read_bytes().splitlines(keepends=True)
            for record in records(reversed(lines)):
                if record.environment == "production" and not record.shadow and not record.replay and record.scores:
                    found.append(json.dumps(record.rows, default=str).encode())
                    if len(found) >= most:
                        return found
    return found


def held_out(candidate: Candidate, features: FeaturesConfig, most: int) -> list[bytes]:
    """Rows of a candidate's test split, each as the body of one request."""
    frame = sample_rows(candidate.splits, features, most).drop("__row__")
    return [json.dumps(row).encode() for row in json_rows(frame)]


Outgoing = tuple[bytes, dict[str, str]]  # a request's body, and its own headers


def at_random(bodies: Sequence[bytes], sticky: str) -> Iterator[Outgoing]:
    """Any of ``bodies``, again and again, each from a client of its own: the header ``sticky``."""
    chance = random.Random(0)  # noqa: S311  # which row comes next is no secret
    while True:
        yield chance.choice(bodies), {sticky: str(chance.randrange(10**6))}


class Sender:
    """Sends requests in their order to the gateway, and counts those that were not answered well.

    ``rate``: a second, or inf for as many as are answered. It ends with the last one.
    """

    def __init__(
        self, address: str, project: str, requests: Iterator[Outgoing], rate: float, *, mark: bool = True
    ) -> None:
        self.address, self.path, self.requests = urlsplit(address), f"/{project}/v1/predict", requests
        self.interval = SENDERS / rate
        self.headers = {"Content-Type": "application/json", **(MARK if mark else {}), **api_key()}
        self.sent = self.failed = self.refused = 0  # refused: those of the failed whose rows were at fault
        self._end = threading.Event()
        self._lock = threading.Lock()

    def run(self, number: int) -> None:
        due = time.monotonic() + self.interval * number / SENDERS
        connection = self._connection()
        while not self._end.wait(max(0.0, due - time.monotonic())):
            due = max(due + self.interval, time.monotonic() - 1)  # after a stall, no more than a second is made up for
            with self._lock:
                body, own = next(self.requests, (None, {}))
            if body is None:
                break
            status = 0
            try:
                connection.request("POST", self.path, body, {**self.headers, **own})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = self._connection()
            with self._lock:
                self.sent += 1
                self.refused += status == REFUSED
                self.failed += status != 200
        connection.close()

    def stop(self) -> None:
        self._end.set()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address.hostname or "", self.address.port, timeout=10)


@contextlib.contextmanager
def sending(sender: Sender) -> Iterator[Sender]:
    """Requests go out while the block runs."""
    threads = _started(sender)
    try:
        yield sender
    finally:
        sender.stop()
        for thread in threads:
            thread.join(timeout=15)


def send_all(sender: Sender) -> None:
    """Every request goes out, and is answered."""
    for thread in _started(sender):
        thread.join()


def _started(sender: Sender) -> list[threading.Thread]:
    threads = [threading.Thread(target=sender.run, args=(number,), daemon=True) for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    return threads
