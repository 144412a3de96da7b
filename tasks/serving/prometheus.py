"""Runs the Prometheus that is installed here, under supervisord, on 127.0.0.1: `penstock up --with-prometheus`.

It has the config and rules of `deploy/prometheus/`, with the address that metrics are at here. Data, for 30 days or
1 GB, are under `<home>/prometheus`.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import shutil
import time
import urllib.request
from pathlib import Path

from penstock.errors import ConfigError, PlatformError
from tasks.machine.settings import settings
from tasks.platform import ports, supervision
from tasks.platform.programs import Program
from tasks.serving import serving
from tasks.store import locks, store
from tasks.store.source import CODE

PROMETHEUS, PORT = "prometheus", 9090  # wanted; another where it is taken
READY_SECONDS = 60.0
FILES = CODE / "deploy" / "prometheus"
DEFAULT = f"127.0.0.1:{ports.METRICS_PORT}"  # where the config looks for metrics
KEPT = ("--storage.tsdb.retention.time=30d", "--storage.tsdb.retention.size=1GB")


def ensure() -> str:
    """Prometheus runs and answers; returns its address. Starts what it asks, too.

    Raises ConfigError if it is not installed, PlatformError if it does not come up.
    """
    program = _installed()
    metrics = serving.expose()
    with store.readable_errors(_folder()), locks.exclusive("platform"):
        config = write_config(_folder(), metrics.removeprefix("http://"))
        found = supervision.processes().get(PROMETHEUS, {})
        up = found.get("statename") in ("STARTING", "RUNNING")
        port = _port() if up and _port() else ports.free(_port() or PORT)
        store.write_atomic(_folder() / "port", str(port).encode())
        supervision.add(_program(program, config, port))
    _wait(f"http://127.0.0.1:{port}")
    return address()


def address() -> str:
    """Where the Prometheus of this home is reached, or "" if it is not one of those that run."""
    runs = supervision.processes().get(PROMETHEUS, {}).get("statename") in ("STARTING", "RUNNING")
    return f"http://127.0.0.1:{_port()}" if runs and _port() else ""


def write_config(folder: Path, metrics: str) -> Path:
    """The config and rules of the repository, in ``folder``, for metrics at ``metrics`` (host:port)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("prometheus.yml", "rules.yml"):
        store.write_atomic(folder / name, (FILES / name).read_text().replace(DEFAULT, metrics).encode())
    return folder / "prometheus.yml"


def _program(command: str, config: Path, port: int) -> Program:
    content = b"".join(path.read_bytes() for path in (config, config.with_name("rules.yml")))
    options = (f"--config.file={config}", f"--storage.tsdb.path={config.parent / 'data'}", *KEPT)
    return Program(
        name=PROMETHEUS,
        command=(command, *options, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
        # another config is another program: it reads the file when it starts
        environment={"PENSTOCK_CONFIG": hashlib.sha256(content).hexdigest()},
        directory=config.parent,
    )


def _installed() -> str:
    found = shutil.which(PROMETHEUS)
    if found is None:
        raise ConfigError(
            "Prometheus is not installed.",
            where="PATH",
            next_step="sudo apt-get install prometheus (Debian, Ubuntu), or put the program `prometheus` on the PATH; "
            "or leave out --with-prometheus, and have one elsewhere ask: docs/metrics.md",
        )
    return found


def _wait(url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and supervision.processes().get(PROMETHEUS, {}).get("statename") != "FATAL":
        with contextlib.suppress(OSError, http.client.HTTPException), opener.open(f"{url}/-/ready", timeout=2):
            return
        time.sleep(0.1)
    supervision.halt(PROMETHEUS)
    raise PlatformError(
        "Prometheus does not become ready.",
        where=str(supervision.logs() / f"{PROMETHEUS}.log"),
        found=supervision.last_words(PROMETHEUS),
        next_step=f"see the log; data that cannot be read are in {_folder() / 'data'}",
    )


def _port() -> int:
    """The port that it had last, or 0."""
    try:
        return int((_folder() / "port").read_text())
    except (OSError, ValueError):
        return 0


def _folder() -> Path:
    return settings().home / PROMETHEUS
