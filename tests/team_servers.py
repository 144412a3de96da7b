"""What a team runs: Prefect's server and MLflow's, both on one real PostgreSQL, with MLflow's files in a bucket.

The PostgreSQL is Debian's: Prefect's migrations need the extension pg_trgm, which the wheels lack.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.machine.settings import QUIET
from tests.loopback import free_port
from tests.postgres import Cluster, cluster
from tests.s3_server import BUCKET, CREDENTIALS
from tests.waiting import PATIENCE, until

BINARIES = max(
    (found.parent for found in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
    key=lambda found: int(found.parent.name),
    default=None,
)
needs_postgres = pytest.mark.skipif(
    BINARIES is None, reason="skipped: no PostgreSQL server here; apt-get install postgresql"
)


class Servers:
    """``prefect`` and ``mlflow`` are addresses; neither has a password in it."""

    def __init__(self, database: Cluster, folder: Path) -> None:
        self.database, self.folder = database, folder
        ports = {"prefect": free_port(), "mlflow": free_port()}
        self.prefect, self.mlflow = (f"http://127.0.0.1:{port}" for port in ports.values())

    def runs(self, database: str = "mlflow") -> list[tuple]:
        """(name, status) of what a database of MLflow has, in their order."""
        return self.database.run("SELECT name, status FROM runs ORDER BY start_time", database)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@contextlib.contextmanager
def team_servers(folder: Path, s3_port: int) -> Iterator[Servers]:
    """All three, ready to be asked; started as docs/team.md says."""
    with cluster(BINARIES) as database, contextlib.ExitStack() as ends:
        for name in ("prefect", "mlflow"):
            database.run(f"CREATE DATABASE {name}")
        database.run("CREATE EXTENSION pg_trgm", "prefect")
        servers = Servers(database, folder)
        home = {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_SERVER_LOGGING_LEVEL": "WARNING"}
        port = servers.prefect.rpartition(":")[2]
        variables = home | {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.url("prefect", "asyncpg"),
            "PREFECT_SERVER_API_PORT": port,
            "PREFECT_API_URL": f"{servers.prefect}/api",
        }
        ends.enter_context(_running(servers, "prefect", ["-m", "prefect", "server", "start"], variables))
        command = ["-m", "mlflow", "server", "--port", servers.mlflow.rpartition(":")[2], "--workers", "1"]
        command += ["--artifacts-destination", f"s3://{BUCKET}/mlflow"]
        variables = CREDENTIALS | {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_port}",
            "MLFLOW_BACKEND_STORE_URI": database.url("mlflow"),
        }
        ends.enter_context(_running(servers, "mlflow", command, variables))
        for name, address in (("prefect", f"{servers.prefect}/api/ready"), ("mlflow", f"{servers.mlflow}/health")):
            until(lambda address=address: _answers(address), lambda name=name: servers.log(name))
        yield servers


@contextlib.contextmanager
def _running(servers: Servers, name: str, arguments: list[str], variables: dict[str, str]) -> Iterator[None]:
    with (servers.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=servers.folder, env={**os.environ, **QUIET, **variables},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False
