"""Ports on 127.0.0.1: the wanted ones where they are free, and always the same ones afterwards."""

from __future__ import annotations

import contextlib
import socket
import time

from penstock.desired import Ports
from penstock.errors import PlatformError
from tasks.machine.settings import settings
from tasks.platform import supervision

START_SECONDS = 5.0  # in which a gateway listens, if it ever does
METRICS, METRICS_PORT = "metrics", 8790  # the program that serves them; the port is another where it is taken


def chosen(before: Ports) -> Ports:
    """The ports of gateway and metrics. While who listens there runs they stay; before, one that somebody else has is
    changed."""
    given, runs = settings(), ours(before)
    exposes = supervision.processes().get(METRICS, {}).get("statename") in ("STARTING", "RUNNING")
    taken: set[int] = set()
    found = {}
    for name, wanted, stays in (
        ("production", before.production or given.production_port, runs),
        ("staging", before.staging or given.staging_port, runs),
        ("metrics", before.metrics or METRICS_PORT * bool(given.production_port), exposes and bool(before.metrics)),
    ):
        found[name] = wanted if stays else free(wanted, taken, wait=0)
        taken.add(found[name])
    return Ports(**found)


def ours(ports: Ports) -> bool:
    """Whether our gateway listens there."""
    return bool(ports.production) and any(map(supervision.is_ours, supervision.listeners({ports.production})))


def alone(ports: Ports) -> bool:
    """Whether nobody else listens where our gateway, which has just started, does.

    Envoys share ports. Another checkout's gateway that took one at the same moment would get part of our requests.
    """
    end = time.monotonic() + START_SECONDS
    while not ours(ports) and time.monotonic() < end:
        time.sleep(0.05)
    return all(map(supervision.is_ours, supervision.listeners(set(ports.model_dump().values()))))


def free(wanted: int, taken: set[int] | None = None, wait: float = 3) -> int:
    """``wanted`` if nobody has it, else one that nobody has.

    Waits up to ``wait`` seconds for ``wanted``: after kill -9 of supervisord what it started is still ending.
    """
    end = time.monotonic() + wait
    while wanted and listening(wanted) and time.monotonic() < end:
        time.sleep(0.1)
    for port in (wanted, 0, 0, 0):
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found = int(probe.getsockname()[1])
            if found not in (taken or ()):
                return found
    raise PlatformError("There is no free port on 127.0.0.1.", next_step="stop what takes them")


def listening(port: int) -> bool:
    """Whether anybody, ours or not, accepts connections on the port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
