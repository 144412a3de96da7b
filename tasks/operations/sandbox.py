"""A sandbox: a process with a home, ports and a ledger of its own, beside what the user serves.

It shares what is only read: objects of the store, and installed serving environments.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from penstock.errors import PlatformError
from tasks.machine import environments
from tasks.machine.mortal import MORTAL
from tasks.machine.settings import settings
from tasks.platform import platform
from tasks.store.source import CODE
from tasks.store.store_use import in_use

# a sandbox has none of these from the outside: it would push, deploy or tell where the user does
NOT_INHERITED = (
    "PENSTOCK_REMOTE",
    "PENSTOCK_STORE",
    "PENSTOCK_DASK",  # no worker sees the sandbox's home
    "PENSTOCK_MLFLOW_URI",
    "PREFECT_API_URL",
    "PENSTOCK_APPROVAL",
    *environments.OWN,
)
NOT_LINKED = {".penstock", ".dvc", ".git", "data", "configs", "prefect.toml", "flows", "tasks", "penstock", "bentos"}
END_SECONDS = 60.0


@contextlib.contextmanager
def folder(purpose: str, keep: bool = False) -> Iterator[Path]:
    """An empty folder; removed at the end unless it is to be kept."""
    if keep:
        yield Path(tempfile.mkdtemp(prefix=f"penstock-{purpose}-"))
        return
    with tempfile.TemporaryDirectory(prefix=f"penstock-{purpose}-", ignore_cleanup_errors=True) as scratch:
        yield Path(scratch)


def link_checkout(root: Path) -> None:
    """Into ``root``: a checkout with this one's code and configs, and no data, state or git of its own yet."""
    own = settings().root
    (root / "configs").mkdir(parents=True)
    for path in own.iterdir():
        if path.name not in NOT_LINKED:
            (root / path.name).symlink_to(path)
    for path in (own / "configs").iterdir():
        (root / "configs" / path.name).symlink_to(path)


def link_home(home: Path) -> None:
    """Into ``home``: this one's serving environments, and each object of its store; what is new stays in ``home``."""
    shared = settings().home
    (shared / "environments").mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    (home / "environments").symlink_to(shared / "environments")
    for path in (shared / "store").glob("??/*"):
        (home / "store" / path.parent.name).mkdir(parents=True, exist_ok=True)
        (home / "store" / path.parent.name / path.name).symlink_to(path)


def stop_in_order() -> None:
    """In the sandbox's process: SIGTERM, which also comes when whoever started it has ended, is an orderly end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def down() -> None:
    """In the sandbox's process, at its end: what it started is stopped, and nothing interrupts that."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    platform.down()


def run(module: str, arguments: list[str], root: Path, home: Path, **variables: str) -> str:
    """What ``python -m module`` says on stdout, in the sandbox. What it started is stopped, however it ends.

    Raises PlatformError if it does not end well; what it had to say is on stderr already.
    """
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED} | {
        "PENSTOCK_ROOT": str(root),
        "PENSTOCK_HOME": str(home),
        "PENSTOCK_PRODUCTION_PORT": "0",
        "PENSTOCK_STAGING_PORT": "0",
        "PENSTOCK_WORKER_MEMORY_MB": "1024",
        "PYTHONPATH": str(CODE),
        # flows run as plain functions: whoever imports Prefect all the same finds no server, neither ours nor a team's
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        **variables,
    }
    process = subprocess.Popen(
        [*MORTAL, sys.executable, "-m", module, *arguments],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is handed on below: it has to stop what it started
    )
    try:
        with in_use():  # it reads what the store of this home has
            said, _ = process.communicate()
    except BaseException:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=END_SECONDS)
        raise
    finally:
        if process.poll() != 0:
            process.kill()
            down = [sys.executable, "-m", "flows.cli", "down"]
            subprocess.run(down, cwd=root, env=environment, capture_output=True, check=False)
    if process.returncode:
        raise PlatformError("The sandbox's process broke off.", found=said[-300:], next_step="see above")
    return said
