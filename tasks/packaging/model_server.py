"""Runs a packaged model in a real server on a loopback port: unpacked, in the serving environment, with the launcher
that production uses, and with nothing of the checkout on its path."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from penstock.errors import PackagingError, PlatformError
from penstock.refs import Package
from tasks.machine.mortal import MORTAL
from tasks.machine.settings import QUIET, settings
from tasks.packaging.packaging import content_digest, unpack
from tasks.store import locks, store

# the machine's own variables: with a few of ours, all that a model server sees
OF_MACHINE = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
READY_SECONDS = 60.0
STOP_SECONDS = 40.0  # a little longer than the server lets running requests finish


class Server:
    """A running model server: its address and how long it took to be ready."""

    def __init__(self, address: str, ready_seconds: float, process: subprocess.Popen[bytes]) -> None:
        self.address, self.ready_seconds, self.process = address, ready_seconds, process

    def wait(self) -> None:
        """Return when the server has ended. Polls: polars has signal calls restarted, and a blocking wait would not
        notice Ctrl-C."""
        while self.process.poll() is None:
            time.sleep(0.2)


def unpacked(package: Package) -> Path:
    """The Bento's folder under `<home>/bentos`, unpacked once; a damaged one is unpacked again.

    Raises PackagingError if what comes out of the tar is not what was packaged.
    """
    folder = settings().home / "bentos" / f"{package.tag.replace(':', '-')}-{package.digest[:12]}"
    with store.readable_errors(folder), locks.exclusive(f"bento-{package.digest}"):
        if folder.is_dir() and content_digest(folder) == package.digest:
            os.utime(folder)  # in use: `penstock gc` takes no folder that was used in the last day
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            draft = Path(scratch) / "bento"
            store.read_bytes(package.bento)  # verifies it
            unpack(store.locate(package.bento), draft)
            if content_digest(draft) != package.digest:
                raise PackagingError(
                    "The package is not what it was when it was made.",
                    where=str(store.locate(package.bento)),
                    found=package.tag,
                    next_step="run `penstock run` again: it is packaged afresh",
                )
            draft.rename(folder)
    return folder


@contextlib.contextmanager
def running_server(bento: Path, python: Path, port: int = 0) -> Iterator[Server]:
    """A server of the Bento on 127.0.0.1, ready to answer; stopped when the block ends. ``port`` 0: a free one.

    Raises PackagingError with the end of the server's log if it does not become ready, PlatformError if the port is
    taken.
    """
    runs = settings().home / "runs"
    with contextlib.ExitStack() as stack:
        with store.readable_errors(runs):
            runs.mkdir(parents=True, exist_ok=True)
            state = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=runs, ignore_cleanup_errors=True)))
            (state / "metrics").mkdir()
            log = stack.enter_context((state / "server.log").open("wb"))
        listener = stack.enter_context(_listen(port))
        began = time.monotonic()
        process = subprocess.Popen(
            [*MORTAL, str(python), "-I", str(bento / "src" / "bentos" / "launch.py"), str(bento)],
            stdin=listener.fileno(),
            stdout=log,
            stderr=log,
            cwd=state,
            env=_environment(state),
            start_new_session=True,  # Ctrl-C is ours to handle: requests that run may finish
        )
        try:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            _wait_ready(address, process, state / "server.log", began)
            yield Server(address, time.monotonic() - began, process)
        finally:
            _stop(process)


def bentoml_environment(state: Path) -> dict[str, str]:
    """What a model server has to find in its environment; ``state`` is a folder of its own, with `metrics` in it."""
    return {
        "HOME": str(state),
        "BENTOML_HOME": str(state / "bentoml"),  # shared, one server would wipe another's metrics
        "PROMETHEUS_MULTIPROC_DIR": str(state / "metrics"),
        "BENTOML_DO_NOT_TRACK": "true",
        "DO_NOT_TRACK": "true",
        "OMP_WAIT_POLICY": QUIET["OMP_WAIT_POLICY"],
    }


def api_key() -> dict[str, str]:
    """The header that a request needs where the servers want a key."""
    key = os.environ.get("PENSTOCK_API_KEY", "")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise PlatformError(
            f"The port {port} is taken.", where="127.0.0.1", next_step="name another with --port, or stop what has it"
        ) from None
    listener.listen(1024)
    return listener


def _environment(state: Path) -> dict[str, str]:
    """What the server sees: the machine's own variables, and none of Python's, Penstock's or Prefect's."""
    return {name: os.environ[name] for name in OF_MACHINE if name in os.environ} | bentoml_environment(state)


def _wait_ready(address: str, process: subprocess.Popen[bytes], log: Path, began: float) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the environment is not for this
    while time.monotonic() - began < READY_SECONDS:
        if process.poll() is not None:
            break
        try:
            with opener.open(f"{address}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.05)
    ended = process.poll()
    words = log.read_text(errors="replace").strip().splitlines()
    raise PackagingError(
        "The packaged model does not start." if ended is not None else "The packaged model does not become ready.",
        where="the model server, in the serving environment",
        found=" | ".join(words[-3:])[-600:] or (f"exit code {ended}" if ended is not None else "no answer at /readyz"),
        next_step="see bentos/service.py and bentos/requirements.txt; a missing requirement is the usual cause",
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
