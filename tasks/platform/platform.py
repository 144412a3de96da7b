"""The control plane of a checkout: one Prefect server for all its runs, started on demand, and one worker.

`PREFECT_API_URL` in the environment names another server (a team's); then none is started here. Prefect itself is
imported only to deploy. State is under `<home>/prefect`; `prefect.toml` in the checkout tells the `prefect` command.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path

import psutil

from penstock.errors import PlatformError
from penstock.refs import Value
from tasks.machine import environments
from tasks.machine.settings import QUIET, of_shared_store, settings
from tasks.machine.steps import observed
from tasks.platform import ports, prefect_names, supervision
from tasks.platform.programs import Program
from tasks.store import locks
from tasks.store.source import CODE
from tasks.store.store import readable_errors, write_atomic

SERVER, WORKER = "prefect-server", "prefect-worker"
START_SECONDS = 180.0  # the first start makes a database: 10 to 20 s on a busy machine
STARTS = 3  # a server that needs so many will not come up: a damaged database, a full disk
RESTART = "penstock down, then penstock up"
UP = ("STARTING", "RUNNING")
# what a server says while its database restarts: its client then tries again, for a minute in all
PATIENT = {"PREFECT_CLIENT_RETRY_EXTRA_CODES": "500"}
_given: set[str] = set()  # addresses of this checkout's server that this process itself has put into PREFECT_API_URL


class Service(Value):
    """One supervised program."""

    name: str
    state: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"{self.name:<15} {self.state.lower()}" + (f", pid {self.pid}, since {self.since}" if self.pid else "")


class PlatformStatus(Value):
    """What runs. ``api`` is empty when no server is known; ``metrics`` and ``prometheus`` when they are not served."""

    services: tuple[Service, ...]
    api: str
    ui: str
    metrics: str
    prometheus: str

    def __str__(self) -> str:
        lines = [str(service) for service in self.services] or ["no services run; `penstock up` starts them"]
        places = {"Prefect": self.ui, "Metrics": self.metrics, "Prometheus": self.prometheus}
        return "\n".join([*lines, *(f"{name:<15} {place}" for name, place in places.items() if place)])


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
    if named_server():
        defaults |= PATIENT
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if not named_server() and supervision.processes().get(SERVER, {}).get("statename") in UP:
        _point_to(_own_url())


def start_server_early() -> None:
    """Start the server and go on: it comes up while Prefect is imported. Raises StorageError without a home to use."""
    with readable_errors(settings().home):
        settings().home.mkdir(parents=True, exist_ok=True)
    if not named_server():
        _point_to(_start_server())


@contextlib.contextmanager
def connected() -> Iterator[str]:
    """A server that answers, and Prefect's settings pointing to it and to this checkout's cache; gives its address."""
    url = ensure_server()
    prefect_environment()
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
        yield url


def ensure_server() -> str:
    """The API's address, once it answers. Raises PlatformError if it does not."""
    url = named_server()
    if url:
        if not _healthy(url):
            raise PlatformError(
                "The Prefect server that PREFECT_API_URL names does not answer.",
                where=url,
                next_step="start it, or unset PREFECT_API_URL to use this checkout's own",
            )
        return url
    url = _start_server()
    end = time.monotonic() + START_SECONDS
    pids = set()
    while not (_healthy(url) and _is_ours(url)):
        found = supervision.processes().get(SERVER, {})
        pids.add(found.get("pid") or 0)
        state = str(found.get("statename", "gone"))
        if state in ("FATAL", "gone") or len(pids - {0}) >= STARTS or time.monotonic() > end:
            supervision.halt(SERVER)
            raise PlatformError(
                "The Prefect server does not come up.",
                where=str(supervision.logs() / f"{SERVER}.log"),
                found=supervision.last_words(SERVER),
                next_step=RESTART,
            )
        time.sleep(0.1)
        url = _start_server()  # at another address, if meanwhile a stranger has taken this one
    _point_to(url)
    if not settings().environment:  # `prefect` knows no `--env`: what it finds by itself is development's server
        _write_prefect_toml(url)
    return url


def up() -> None:
    """What serves; then server, deployments of `prefect.yaml`, alerts, worker: all there and in order."""
    from tasks.platform.deploying import deploy_flows

    serve()  # first: it needs no Prefect, and its clients wait
    with connected(), observed("deployments") as step:
        deployed, _ = deploy_flows()
        step.summary, step.quiet = deployed.news(), not deployed.news()
    with observed("worker") as step:
        ensure_worker()
        step.quiet = True


def watch() -> None:
    """Prometheus too. Raises ConfigError if it is not installed, PlatformError if it does not come up."""
    from tasks.serving import prometheus

    with observed("prometheus") as step:
        step.summary = prometheus.ensure()


def serve() -> None:
    """What is to serve does; what a crash left is put right. Needs no Prefect. Raises PlatformError if any does not."""
    from tasks.rollout.settle import settle_all
    from tasks.rollout.telling import tell_later
    from tasks.serving import serving

    with observed("serving") as step:
        put_right, _ = settle_all()  # first: a challenger that nobody leads is not waited for
        late = serving.converge()
        tell_later(put_right)
        step.summary = "; ".join(f"{event.version} {event.kind}: {event.reason}" for event in put_right)
        step.quiet = not put_right
    if late:
        raise PlatformError(
            f"{', '.join(late)} does not become ready.",
            where=str(supervision.logs()),
            found=supervision.last_words(late[0]),
            next_step="penstock rollback PROJECT --reason ..., to a release that does",
        )


def ensure_worker() -> None:
    """The worker of the environment's work pool, which runs this checkout's deployments."""
    url = ensure_server()
    with readable_errors(settings().home), locks.exclusive("platform"):
        _add_worker(url)


def _add_worker(url: str) -> None:
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
        **of_shared_store(),
        **environments.inherited(),
        **(PATIENT if named_server() else {}),
    }
    # no --limit: with it, resuming a suspended run has crashed the worker
    asked = f"-m prefect worker start --pool {prefect_names.pool()} --type process --name local"
    command = (sys.executable, *asked.split())
    supervision.add(Program(name=WORKER, command=command, environment=environment, directory=settings().root))


def down() -> None:
    """Stop everything and wait until it is gone. What was recorded, and what is to serve, stays for `up()`."""
    with readable_errors(settings().home), locks.exclusive("platform"):
        supervision.stop()


def status() -> PlatformStatus:
    """What runs now. Imports no Prefect, starts nothing."""
    from tasks.serving import prometheus, serving

    services, processes = [], supervision.processes()
    for name, found in sorted(processes.items()):
        since = datetime.fromtimestamp(found["start"], UTC).strftime("%Y-%m-%d %H:%M UTC") if found["start"] else ""
        services.append(Service(name=name, state=str(found["statename"]), pid=int(found["pid"]), since=since))
    ui = address()
    metrics = f"{serving.address('metrics')}/metrics" if ports.METRICS in processes else ""
    return PlatformStatus(
        services=tuple(services),
        api=f"{ui}/api" if ui else "",
        ui=ui,
        metrics=metrics,
        prometheus=prometheus.address(),
    )


def address() -> str:
    """The Prefect UI's address, or "" when this checkout's server does not run and no other is named."""
    url = named_server()
    if not url and supervision.processes().get(SERVER, {}).get("statename") in UP:
        url = _own_url()
    return url.removesuffix("/api")


def answers() -> bool:
    """Whether a Prefect server is known and answers. Imports no Prefect, starts nothing."""
    url = address()
    return bool(url) and _healthy(f"{url}/api")


def ready(url: str) -> bool:
    """Whether a Prefect API and its database answer. Imports no Prefect, starts nothing."""
    return _healthy(url, "ready")


def named_server() -> str:
    """The server that the environment names, or "" if it names none or this checkout's own."""
    own = _own_url()  # first: it reads the environment's profile, which may name a server
    url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    return "" if url in _given or url == own else url


def _point_to(url: str) -> None:
    _given.add(url)
    os.environ["PREFECT_API_URL"] = url


def _own_url() -> str:
    port = _own_port()
    return f"http://127.0.0.1:{port}/api" if port else ""


def _own_port() -> int:
    """The port that the server had last, or 0."""
    try:
        return int(json.loads(_record().read_bytes())["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _record() -> Path:
    return settings().prefect_home / "server.json"


def _start_server() -> str:
    """Have supervisord run the server; returns its address at once. The port stays the same from start to start."""
    with readable_errors(settings().home), locks.exclusive("platform"):
        url = _own_url()
        found = supervision.processes().get(SERVER, {})
        if url and found.get("statename") in UP and not (ports.listening(_own_port()) and not _is_ours(url)):
            return url
        port = ports.free(_own_port())
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
        command = (sys.executable, "-m", "prefect", "server", "start")
        program = Program(name=SERVER, command=command, environment=environment, directory=settings().prefect_home)
        supervision.add(program)
        if supervision.has(WORKER):
            _add_worker(url)  # the worker of before has to find the server at its new address
        return url


def _is_ours(url: str) -> bool:
    """Whether who listens at the address is the process that supervisord started: any program may say 200."""
    try:
        process = psutil.Process(int(supervision.processes()[SERVER]["pid"]))
        listening = [found.laddr.port for found in process.net_connections("tcp") if found.status == "LISTEN"]
    except (KeyError, psutil.Error):
        return False
    return url == _own_url() and _own_port() in listening


def _healthy(url: str, asked: str = "health") -> bool:
    """Whether a Prefect API answers. One that wants a key is there too: the Prefect client has it, or will say so."""
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if url == _own_url() else []))
    try:
        with opener.open(f"{url}/{asked}", timeout=3) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)
    except (OSError, HTTPException, ValueError):  # nobody there, not HTTP, not an address
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
    with contextlib.suppress(OSError):  # a convenience: a checkout that cannot be written runs all the same
        if not path.is_file() or path.read_text() != text:
            write_atomic(path, text.encode())
