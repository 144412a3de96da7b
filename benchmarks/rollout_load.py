"""Load on a gateway from a process of its own, and what came of it: requests, failures, latencies, the longest gap."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

CLIENT = Path(__file__).with_name("rollout_client.py")


class Request(NamedTuple):
    """One request: when it was sent (epoch seconds), how long it took, its status (0: no answer), who answered."""

    at: float
    seconds: float
    status: int
    version: str

    @property
    def good(self) -> bool:
        return self.status == 200


class Load:
    """Requests of clients; ``requests`` are there when the block of `load()` has ended."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    @property
    def failed(self) -> list[Request]:
        return [request for request in self.requests if not request.good]

    @property
    def outage(self) -> float:
        """The longest time (s) between two good answers."""
        ends = sorted(request.at + request.seconds for request in self.requests if request.good)
        return max((after - before for before, after in itertools.pairwise(ends)), default=0.0)

    def between(self, start: float, end: float) -> list[Request]:
        return [request for request in self.requests if start <= request.at < end]

    def first_from(self, version: str, after: float) -> float | None:
        """When the first answer of ``version`` to a request sent ``after`` then had come."""
        ends = [each.at + each.seconds for each in self.requests if each.at >= after and each.version == version]
        return min(ends, default=None)


@contextlib.contextmanager
def load(address: str, project: str, bodies: Sequence[bytes], rate: float, connections: int = 16) -> Iterator[Load]:
    """Clients send ``rate`` requests a second to the project at ``address`` while the block runs."""
    found = Load()
    with tempfile.TemporaryDirectory(prefix="penstock-load-") as scratch:
        content, out = Path(scratch) / "bodies.json", Path(scratch) / "requests.json"
        content.write_text(json.dumps([body.decode() for body in bodies]))
        port, path = address.rpartition(":")[2], f"/{project}/v1/predict"
        words = [port, path, str(content), str(connections), str(rate), str(out)]
        clients = subprocess.Popen([sys.executable, str(CLIENT), *words], start_new_session=True)
        try:
            time.sleep(0.5)
            yield found
        finally:
            clients.terminate()
            clients.wait(30)
        if out.is_file():
            found.requests = [Request(*each) for each in json.loads(out.read_text())]


def percentile(requests: Sequence[Request], share: float) -> float:
    """Milliseconds that this share of the good answers did not take longer than; 0 where there are none."""
    taken = sorted(request.seconds for request in requests if request.good)
    return taken[min(len(taken) - 1, int(share * len(taken)))] * 1e3 if taken else 0.0
