"""A real PostgreSQL server of the wheel `pgserver`, on a free loopback port, stopped at the end."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PASSWORD = "hunter2/+%x"


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of its database, with the password; whoever lacks it is refused."""
    binaries = Path(importlib.util.find_spec("pgserver").submodule_search_locations[0]) / "pginstall" / "bin"
    # the server refuses to run as root, and another user cannot enter pytest's folders
    folder = Path(tempfile.mkdtemp(prefix="penstock-pg-"))
    other = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    user = {"user": other.pw_uid, "group": other.pw_gid} if other else {}
    try:
        (folder / "password").write_text(PASSWORD)
        if other:
            for path in (folder, folder / "password"):
                os.chown(path, other.pw_uid, other.pw_gid)
        command = [binaries / "initdb", "-D", folder / "data", "-U", "shop", "-A", "scram-sha-256", "-E", "UTF8"]
        command += ["--locale=C", "--no-sync", f"--pwfile={folder / 'password'}"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", *options], cwd=folder, stdout=log, stderr=log, **user
            )
        try:
            _wait(port, server, folder / "log")
            from urllib.parse import quote

            yield f"postgresql+psycopg://shop:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(port: int, server: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            raise RuntimeError(log.read_text())
        if "ready to accept connections" in log.read_text():
            return
        time.sleep(0.1)
    raise RuntimeError(log.read_text())
