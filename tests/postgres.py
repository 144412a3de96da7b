"""Real PostgreSQL servers on free loopback ports, run by a user without rights, stopped at the end."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.loopback import free_port
from tests.waiting import until

USER, PASSWORD = "shop", "hunter2/+%x"


class Cluster:
    """A PostgreSQL server that can be stopped and started; whoever lacks its password is refused."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder, self.port = binaries, folder, free_port()
        # it refuses to run as root, and another user cannot enter pytest's folders
        other = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.user = {"user": other.pw_uid, "group": other.pw_gid} if other else {}
        (folder / "password").write_text(PASSWORD)
        if other:
            for path in (folder, folder / "password"):
                os.chown(path, other.pw_uid, other.pw_gid)
        command = [binaries / "initdb", "-D", folder / "data", "-U", USER, "-A", "scram-sha-256", "-E", "UTF8"]
        command += ["--locale=C", "--no-sync", f"--pwfile={folder / 'password'}"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **self.user)

    def start(self) -> None:
        options = ["-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        command = [self.binaries / "postgres", "-D", self.folder / "data", *options]
        with (self.folder / "log").open("wb") as log:
            self.server = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, **self.user)
        until(self._ready, self._log)

    @property
    def running(self) -> bool:
        return self.server.poll() is None

    def stop(self) -> None:
        """At once: connections are ended, transactions that go on are rolled back."""
        self.server.send_signal(signal.SIGINT)
        self.server.wait(30)

    def url(self, database: str, driver: str = "psycopg") -> str:
        return f"postgresql+{driver}://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple]:
        """What a statement answers, if it does, on a connection of its own."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _ready(self) -> bool:
        if self.server.poll() is not None:
            raise RuntimeError(self._log())
        return "ready to accept connections" in self._log()

    def _log(self) -> str:
        return (self.folder / "log").read_text()


@contextlib.contextmanager
def cluster(binaries: Path) -> Iterator[Cluster]:
    """A server of these binaries that runs."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-pg-"))
    try:
        made = Cluster(binaries, folder)
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of a database of the wheel `pgserver`, with the password."""
    binaries = Path(importlib.util.find_spec("pgserver").submodule_search_locations[0]) / "pginstall" / "bin"
    with cluster(binaries) as made:
        yield made.url("postgres")
