"""The control plane of a checkout: one Prefect server for all its runs, started on demand, and one worker.

`PREFECT_API_URL` in the environment names another server (a team's); then none is started here. Prefect itself is
imported only to deploy. State is under `<home>/prefect`; `prefect.toml` in the checkout tells the `prefect` command.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from penstock.errors import PlatformError
from penstock.refs import Value
from tasks import locks, supervision
from tasks.caching import observed
from tasks.settings import QUIET, settings
from tasks.source import CODE
from tasks.store import readable_errors, write_atomic

SERVER, WORKER, POOL = "prefect-server", "prefect-worker", "penstock"
START_SECONDS = 180.0  # the first start makes a database: 10 to 20 s on a busy machine
RESTART = "penstock down, then penstock up"


class Service(Value):
    """One supervised program."""

    name: str
    state: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"{self.name:<15} {self.state.lower()}" + (f", pid {self.pid}, since {self.since}" if self.pid else "")


class PlatformStatus(Value):
    """What runs. ``api`` is empty when no server is known."""

    services: tuple[Service, ...]
    api: str
    ui: str

    def __str__(self) -> str:
        lines = [str(service) for service in self.services] or ["no services run; `penstock up` starts them"]
        return "\n".join([*lines, *([f"Prefect         {self.ui}"] if self.ui else [])])


def prefect_environment() -> None:
    """Put into the environment what Prefect has to find there when it is imported."""
    defaults = {
        **QUIET,
        "PREFECT_HOME": str(settings().prefect_home),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(settings().cache),
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",  # fail at once, instead of starting a second server
        # the UI gets the log; the terminal shows steps, and an error once, as text
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def start_server_early() -> None:
    """Start the server and go on: it comes up while Prefect is imported. Raises StorageError without a home to use."""
    with readable_errors(settings().home):
        settings().home.mkdir(parents=True, exist_ok=True)
    if not _foreign():
        os.environ["PREFECT_API_URL"] = _start_server()


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """A server that answers, and Prefect's settings pointing to it and to this checkout's cache."""
    url = ensure_server()
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_RESULTS_DEFAULT_SERIALIZER,
        PREFECT_RESULTS_LOCAL_STORAGE_PATH,
        temporary_settings,
    )

    ours = {
        PREFECT_API_URL: url,
        PREFECT_RESULTS_LOCAL_STORAGE_PATH: settings().cache,
        PREFECT_RESULTS_DEFAULT_SERIALIZER: "json",
    }
    with temporary_settings(ours):
        yield


def ensure_server() -> str:
    """The API's address, once it answers. Raises PlatformError if it does not."""
    url = _foreign()
    if url:
        if not _healthy(url):
            raise PlatformError(
                "The Prefect server that PREFECT_API_URL names does not answer.",
                where=url,
                next_step="start it, or unset PREFECT_API_URL to use this checkout's own",
            )
        return url
    url = _start_server()
    os.environ["PREFECT_API_URL"] = url
    end = time.monotonic() + START_SECONDS
    while not _healthy(url):
        state = supervision.processes().get(SERVER, {}).get("statename", "gone")
        if state in ("FATAL", "gone") or time.monotonic() > end:
            raise PlatformError(
                f"The Prefect server does not come up: it is {state.lower()}.",
                where=str(supervision.logs() / f"{SERVER}.log"),
                found=supervision.last_words(SERVER),
                next_step=RESTART,
            )
        time.sleep(0.1)
    _write_prefect_toml(url)
    return url


def up() -> None:
    """Server, deployments of `prefect.yaml`, worker: all there and in order."""
    from tasks.deployments import ensure_deployments

    with connected(), observed("deployments") as step:
        deployed = ensure_deployments()
        step.summary, step.quiet = ", ".join(deployed), not deployed
    with observed("worker") as step:
        ensure_worker()
        step.quiet = True


def ensure_worker() -> None:
    """The worker of the pool `penstock`, which runs this checkout's deployments."""
    url = ensure_server()
    environment = {
        **QUIET,
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(settings().prefect_home),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(settings().cache),
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PENSTOCK_ROOT": str(settings().root),
        "PENSTOCK_HOME": str(settings().home),
        "PYTHONPATH": str(CODE),
    }
    # no --limit: with it, resuming a suspended run has crashed the worker
    command = [
        sys.executable,
        "-m",
        "prefect",
        "worker",
        "start",
        "--pool",
        POOL,
        "--type",
        "process",
        "--name",
        "local",
    ]
    with readable_errors(settings().home), locks.exclusive("platform"):
        supervision.ensure()
        supervision.add(WORKER, command, environment, settings().root)


def down() -> None:
    """Stop worker and server. What they recorded stays."""
    with readable_errors(settings().home), locks.exclusive("platform"):
        supervision.stop()


def status() -> PlatformStatus:
    """What runs now. Imports no Prefect, starts nothing."""
    services = []
    for name, found in sorted(supervision.processes().items()):
        since = datetime.fromtimestamp(found["start"], UTC).strftime("%Y-%m-%d %H:%M UTC") if found["start"] else ""
        services.append(Service(name=name, state=str(found["statename"]), pid=int(found["pid"]), since=since))
    ui = address()
    return PlatformStatus(services=tuple(services), api=f"{ui}/api" if ui else "", ui=ui)


def address() -> str:
    """The Prefect UI's address, or "" when this checkout's server does not run and no other is named."""
    url = _foreign()
    if not url and supervision.processes().get(SERVER, {}).get("statename") in ("STARTING", "RUNNING"):
        url = _own_url() or ""
    return url.removesuffix("/").removesuffix("/api")


def _foreign() -> str:
    """The server that the environment names, if it is not our own."""
    url = os.environ.get("PREFECT_API_URL", "")
    return "" if url == _own_url() else url


def _own_url() -> str | None:
    try:
        return f"http://127.0.0.1:{int(json.loads(_record().read_bytes())['port'])}/api"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record() -> Path:
    return settings().prefect_home / "server.json"


def _start_server() -> str:
    """Have supervisord run the server; returns its address at once. The port stays the same from start to start."""
    with readable_errors(settings().home), locks.exclusive("platform"):
        url = _own_url()
        if url and supervision.processes().get(SERVER, {}).get("statename") in ("STARTING", "RUNNING"):
            return url
        supervision.ensure()
        port = int(url.rsplit(":", 1)[1].removesuffix("/api")) if url else 0
        port = _free_port(port)
        url = f"http://127.0.0.1:{port}/api"
        write_atomic(_record(), json.dumps({"port": port}).encode())
        environment = {
            **QUIET,
            "PREFECT_HOME": str(settings().prefect_home),
            "PREFECT_API_URL": url,
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(port),  # not --port: the UI would look for the API at 4200
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "30",
        }
        command = [sys.executable, "-m", "prefect", "server", "start"]
        supervision.add(SERVER, command, environment, settings().prefect_home)
        return url


def _free_port(wanted: int) -> int:
    """``wanted`` if nobody has it, else one that nobody has."""
    for port in (wanted, 0):
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise PlatformError("There is no free port on 127.0.0.1.", next_step="stop what takes them")


def _healthy(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _write_prefect_toml(url: str) -> None:
    """So that `prefect` typed in the checkout finds the server with nothing exported. Git-ignored."""
    text = (
        "# Written by Penstock for the `prefect` command in this folder; the environment wins over it.\n"
        f"home = {json.dumps(str(settings().prefect_home))}\n\n"
        f"[api]\nurl = {json.dumps(url)}\n\n"
        f'[results]\nlocal_storage_path = {json.dumps(str(settings().cache))}\ndefault_serializer = "json"\n\n'
        "[server]\nanalytics_enabled = false\n"
    )
    path = settings().root / "prefect.toml"
    with readable_errors(path):
        if not path.is_file() or path.read_text() != text:
            write_atomic(path, text.encode())
