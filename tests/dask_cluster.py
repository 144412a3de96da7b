"""A real Dask scheduler with workers, each a process of its own on loopback, as an operator starts them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.machine.steps import listeners
from tests.loopback import free_port
from tests.waiting import PATIENCE

REPOSITORY = Path(__file__).resolve().parents[1]


class Cluster:
    """``environment`` is that of scheduler and workers."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.scheduler: subprocess.Popen[bytes]
        self.workers: list[subprocess.Popen[bytes]] = []

    def start_scheduler(self) -> None:
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")

    def start_worker(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        """One without a nanny, so that one that is killed stays away, unless ``options`` say otherwise."""
        where = ("--host", "127.0.0.1", "--no-dashboard", "--nthreads", "1", "--memory-limit", "0")
        where += ("--local-directory", str(self.folder))
        worker = self._start("worker", self.address, *where, *(options or ("--no-nanny",)), **environment)
        self.workers.append(worker)
        return worker

    def wait_for(self, count: int) -> list[str]:
        """The addresses of the workers, once there are ``count``."""
        from distributed import Client

        with Client(self.address, set_as_default=False, timeout=PATIENCE) as client:
            client.wait_for_workers(count, timeout=PATIENCE)
            return sorted(client.processing())

    def kill_busy_worker(self) -> int:
        """Kill one of the workers that have something to do; its process."""
        from distributed import Client

        with Client(self.address, set_as_default=False, timeout=PATIENCE) as client:
            busy = [address for address, keys in client.processing().items() if keys]
            process: int = client.run(os.getpid)[max(busy)]
        os.kill(process, signal.SIGKILL)
        return process

    def stop(self) -> None:
        for process in [*self.workers, self.scheduler]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait(PATIENCE)

    def _start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{arguments[0]}-{time.monotonic_ns()}.log").open("wb")
        command = [sys.executable, "-m", "dask", *arguments]
        with log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.environment, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


@contextlib.contextmanager
def dask_cluster(folder: Path, workers: int, **environment: str) -> Iterator[Cluster]:
    """A scheduler and ``workers`` workers of one thread."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(folder, environment)
    cluster.start_scheduler()
    try:
        for _ in range(workers):
            cluster.start_worker()
        if workers:
            cluster.wait_for(workers)
        yield cluster
    finally:
        cluster.stop()


@contextlib.contextmanager
def at_round(number: int, do: Callable[[], object]) -> Iterator[None]:
    """While the block trains: ``do`` something, in a thread of its own, once it has told of that round."""
    seen = threading.Event()

    def listen(event) -> None:
        if (event.name, event.state) == ("train model", "progress") and int(event.summary.split()[1]) >= number:
            seen.set()

    thread = threading.Thread(target=lambda: seen.wait(PATIENCE) and do())
    listeners.append(listen)
    thread.start()
    try:
        yield
    finally:
        listeners.remove(listen)
        thread.join()
    assert seen.is_set(), "training has ended before"
