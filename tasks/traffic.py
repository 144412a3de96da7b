"""Requests that the deploy flow sends itself: recorded ones, or rows of the test split where there are none.

Each is marked (`x-penstock-replay`), so that monitoring leaves it out.
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
from tasks.model_server import api_key
from tasks.release_server import log_folder
from tasks.samples import json_rows, sample_rows
from tasks.store import readable_errors

SENDERS = 8
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
                    found.append(json.dumps(record.rows).encode())
                    if len(found) >= most:
                        return found
    return found


def held_out(candidate: Candidate, features: FeaturesConfig, most: int) -> list[bytes]:
    """Rows of a candidate's test split, each as the body of one request."""
    frame = sample_rows(candidate.splits, features, most).drop("__row__")
    return [json.dumps(row).encode() for row in json_rows(frame)]


class Sender:
    """Sends bodies at a rate to the gateway, and counts those that were not answered well."""

    def __init__(
        self, address: str, project: str, bodies: Sequence[bytes], rate: float, sticky: str, *, mark: bool = True
    ) -> None:
        self.address, self.path, self.bodies = urlsplit(address), f"/{project}/v1/predict", bodies
        self.sticky, self.interval = sticky, SENDERS / rate
        self.headers = {"Content-Type": "application/json", **(MARK if mark else {}), **api_key()}
        self.sent = self.failed = 0
        self._end = threading.Event()
        self._lock = threading.Lock()

    def run(self, number: int) -> None:
        chance = random.Random(number)  # noqa: S311  # which row comes next is no secret
        due = time.monotonic() + self.interval * number / SENDERS
        connection = self._connection()
        while not self._end.wait(max(0.0, due - time.monotonic())):
            due = max(due + self.interval, time.monotonic() - 1)  # after a stall, no more than a second is made up for
            headers = {**self.headers, self.sticky: str(chance.randrange(10**6))}
            well = False
            try:
                connection.request("POST", self.path, chance.choice(self.bodies), headers)
                answer = connection.getresponse()
                answer.read()
                well = answer.status == 200
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = self._connection()
            with self._lock:
                self.sent += 1
                self.failed += not well
        connection.close()

    def stop(self) -> None:
        self._end.set()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address.hostname or "", self.address.port, timeout=10)


@contextlib.contextmanager
def sending(sender: Sender) -> Iterator[Sender]:
    """Requests go out while the block runs."""
    threads = [threading.Thread(target=sender.run, args=(number,), daemon=True) for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        yield sender
    finally:
        sender.stop()
        for thread in threads:
            thread.join(timeout=15)
