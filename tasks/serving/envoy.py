"""Asks the gateway's Envoys over their admin sockets: which configuration they have, and what they have counted."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import time
from pathlib import Path
from urllib.parse import quote

from penstock.errors import PlatformError
from tasks.platform import sockets, supervision

COUNT = 2  # on the same ports: one may die, or be restarted, and the other answers
CONFIRM_SECONDS = 15.0
DRAIN_SECONDS = 6.0  # twice what an Envoy gives its clients: `--drain-time-s`
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


def program(number: int) -> str:
    """The name of an Envoy's program."""
    return f"gateway-{number}"


NAMES = tuple(map(program, range(COUNT)))


def admin_socket(number: int) -> Path:
    return sockets.folder() / f"{program(number)}.{supervision.run_id()}.sock"


def ask(number: int, path: str) -> str:
    """The admin interface's answer. Raises one of SILENT if that Envoy is not there."""
    return _ask(admin_socket(number), path)


def _ask(admin: Path, path: str, method: str = "GET") -> str:
    connection = UnixConnection(admin)
    try:
        connection.request(method, path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def stats(number: int, pattern: str) -> dict[str, str]:
    """The statistics whose name matches, as text, by name."""
    return _stats(admin_socket(number), pattern)


def _stats(admin: Path, pattern: str) -> dict[str, str]:
    lines = _ask(admin, f"/stats?filter={quote(pattern)}").splitlines()
    return {name: value.strip('"') for name, _, value in (line.partition(": ") for line in lines)}


def confirm(name: str, revision: str, refused: list[int]) -> None:
    """Return when every Envoy that runs has this revision of `clusters`, or of an environment's routes.

    ``refused``: `refusals(name)` from before it was written. Raises PlatformError if an Envoy refuses it, or does not
    take it in time. One that does not run is passed over: it reads the files when it starts.
    """
    for number in range(COUNT):
        _confirm(number, name, revision, refused[number])


def refusals(name: str) -> list[int]:
    """How often each Envoy has refused this file so far."""
    return [_refused(_delivery(number, name)) for number in range(COUNT)]


def goes_by_another(name: str, revision: str) -> bool:
    """Whether an Envoy has another revision in force than this one, which its file has: it refused it, or was late."""
    found = (_delivery(number, name).get("version_text", "") for number in range(COUNT))
    return any(version not in ("", revision) for version in found)


def all_live() -> bool:
    """Wait until every Envoy accepts requests; False if one does not within ten seconds."""
    return all(map(is_live, range(COUNT)))


def is_live(number: int, seconds: float = 10) -> bool:
    """Wait until an Envoy accepts requests; False if it does not within ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(*SILENT):
            if ask(number, "/ready").startswith("LIVE"):
                return True
        time.sleep(0.02)
    return False


def drain_others() -> None:
    """`drain` the Envoys that outlived their supervisord."""
    _drain(set(sockets.folder().glob("gateway-*.sock")) - set(map(admin_socket, range(COUNT))))


def drain(number: int) -> None:
    """Have an Envoy say goodbye: each answer closes its connection, and then it listens no more. Returns when nobody is
    connected to it, or the last have had the time that Envoy gives them."""
    _drain({admin_socket(number)})


def _drain(waiting: set[Path]) -> None:
    end = time.monotonic() + DRAIN_SECONDS
    for admin in list(waiting):
        try:
            _ask(admin, "/drain_listeners?graceful", "POST")
        except SILENT:
            waiting.discard(admin)
    while waiting and time.monotonic() < end:
        time.sleep(0.1)
        waiting = {admin for admin in waiting if _is_busy(admin)}


def _is_busy(admin: Path) -> bool:
    """Whether anybody is connected, or may still be: the listeners stop when the time to drain is up."""
    names = "^listener_manager\\.(total_listeners_active|listener_stopped)$"
    try:
        found = {name.rpartition(".")[2]: int(value) for name, value in _stats(admin, names).items()}
        connected = _stats(admin, "^http\\.(production|staging)\\.downstream_cx_active$").values()
    except SILENT:
        return False
    return found["listener_stopped"] < found["total_listeners_active"] or any(map(int, connected))


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


def _confirm(number: int, name: str, revision: str, refused: int) -> None:
    end = time.monotonic() + CONFIRM_SECONDS
    while True:
        found = _delivery(number, name)
        if found.get("version_text") == revision or (not found and not _runs(number)):
            return
        if _refused(found) > refused:
            raise _not_taken(number, revision, "it refused it")
        if time.monotonic() > end:
            raise _not_taken(number, revision, "it did not take it in time")
        time.sleep(0.005)


def _delivery(number: int, name: str) -> dict[str, str]:
    """What an Envoy says of how it took a file; empty if it does not answer."""
    prefix = "cluster_manager.cds" if name == "clusters" else f"http.{name}.rds.{name}"
    try:
        found = stats(number, f"^{re.escape(prefix)}\\.(version_text|update_rejected|update_failure)$")
    except SILENT:
        return {}
    return {name.rpartition(".")[2]: value for name, value in found.items()}


def _refused(delivery: dict[str, str]) -> int:
    return sum(int(value) for name, value in delivery.items() if name != "version_text")


def _not_taken(number: int, revision: str, what: str) -> PlatformError:
    return PlatformError(
        f"Envoy {number} does not have the new configuration: {what}. The old one is in force.",
        where=str(supervision.logs() / f"{program(number)}.log"),
        found=f"revision {revision}: {supervision.last_words(program(number))}",
        next_step="penstock up",
    )


def _runs(number: int) -> bool:
    return supervision.processes().get(program(number), {}).get("statename") in ("STARTING", "RUNNING")
