"""Asks the gateway's Envoys over their admin sockets: which configuration they have, and what they have counted."""

from __future__ import annotations

import http.client
import re
import socket
import time
from pathlib import Path
from urllib.parse import quote

from penstock.errors import PlatformError
from tasks import sockets, supervision

GATEWAY, COUNT = "gateway", 2  # two on the same ports: one may die, or be restarted, and the other answers
CONFIRM_SECONDS = 15.0
SILENT = (OSError, http.client.HTTPException)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float = 3) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def admin_socket(number: int) -> Path:
    return sockets.folder() / f"gateway-{number}.sock"


def ask(number: int, path: str, method: str = "GET") -> str:
    """The admin interface's answer. Raises one of SILENT if that Envoy is not there."""
    connection = UnixConnection(admin_socket(number))
    try:
        connection.request(method, path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def stats(number: int, pattern: str) -> dict[str, str]:
    """The statistics whose name matches, as text, by name."""
    lines = ask(number, f"/stats?filter={quote(pattern)}").splitlines()
    return {name: value.strip('"') for name, _, value in (line.partition(": ") for line in lines)}


def confirm_clusters(revision: str) -> None:
    """Return when every Envoy that runs has the clusters of this revision."""
    _confirm("cluster_manager.cds", revision)


def confirm_routes(environment: str, revision: str) -> None:
    """Return when every Envoy that runs has these routes."""
    _confirm(f"http.{environment}.rds.{environment}", revision)


def wait_healthy(versions: set[str], seconds: float = 10) -> None:
    """Wait until every Envoy has seen each cluster healthy. Returns after ``seconds`` all the same."""
    pattern = "^cluster\\.(" + "|".join(map(re.escape, sorted(versions))) + ")\\.membership_healthy$"
    end = time.monotonic() + seconds
    for number in range(COUNT):
        while time.monotonic() < end:
            try:
                found = stats(number, pattern)
                if len(found) == len(versions) and all(int(value) > 0 for value in found.values()):
                    break
            except SILENT:
                if not _runs(number):
                    break
            time.sleep(0.02)


def active_requests(version: str) -> int:
    """Requests that any Envoy still waits for an answer to."""
    total = 0
    for number in range(COUNT):
        try:
            found = stats(number, f"^cluster\\.{re.escape(version)}\\.upstream_rq_active$")
        except SILENT:
            continue
        total += sum(map(int, found.values()))
    return total


def _confirm(prefix: str, revision: str) -> None:
    for number in range(COUNT):
        _confirm_one(number, prefix, revision)


def _confirm_one(number: int, prefix: str, revision: str) -> None:
    """Raises PlatformError if the Envoy refuses the configuration, or does not take it in time.

    One that does not run is passed over: it reads the files when it starts.
    """
    pattern = f"^{re.escape(prefix)}\\.(version_text|update_rejected|update_failure)$"
    refused = None
    end = time.monotonic() + CONFIRM_SECONDS
    while True:
        try:
            found = stats(number, pattern)
            if found.get(f"{prefix}.version_text") == revision:
                return
            now = sum(int(value) for name, value in found.items() if not name.endswith("version_text"))
            if refused is not None and now > refused:
                raise _not_taken(number, revision, "it refused it")
            refused = now
        except SILENT:
            if not _runs(number):
                return
        if time.monotonic() > end:
            raise _not_taken(number, revision, "it did not take it in time")
        time.sleep(0.005)


def _not_taken(number: int, revision: str, what: str) -> PlatformError:
    return PlatformError(
        f"Envoy {number} does not have the new configuration: {what}. The old one is in force.",
        where=str(supervision.logs() / f"{GATEWAY}.log"),
        found=f"revision {revision}: {supervision.last_words(GATEWAY)}",
        next_step="penstock up",
    )


def _runs(number: int) -> bool:
    state = supervision.processes().get(f"{GATEWAY}_{number}", {}).get("statename")
    return state in ("STARTING", "RUNNING")
