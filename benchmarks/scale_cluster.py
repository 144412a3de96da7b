"""The cluster of `benchmarks.scale`: a Dask scheduler and workers of one thread, each a process on loopback."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

WORKERS = 2
PATIENCE = 60.0  # seconds
ONE = dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "PENSTOCK_THREADS"), "1")


def missing() -> str:
    """What keeps the path "dask" from being measured, in words; empty if nothing does."""
    if not find_spec("distributed"):
        return "the package `distributed` is not installed: uv sync --extra dask"
    if not find_spec("tasks.training.cluster_training"):
        return "this checkout's tasks do not train on a cluster: there is no tasks/training/cluster_training.py"
    return ""


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """WORKERS workers that this process's Penstock uses within the block; their logs are in ``folder``."""
    from distributed import Client

    folder.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    here = ("--host", "127.0.0.1", "--no-dashboard")
    worker = ("worker", address, *here, "--nthreads", "1", "--memory-limit", "0", "--no-nanny")
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(folder, "scheduler", *here, "--port", str(port)))
        started += [_start(folder, *worker, "--local-directory", str(folder)) for _ in range(WORKERS)]
        with Client(address, timeout=PATIENCE, set_as_default=False) as client:
            client.wait_for_workers(WORKERS, timeout=PATIENCE)
        os.environ |= {"PENSTOCK_DASK": address, "PENSTOCK_DASK_SHARDS": str(WORKERS)}
        yield
    finally:
        for process in started:
            process.kill()  # they hold nothing, and a worker whose scheduler ends with it waits for that for minutes
            process.wait()


def _start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with (folder / f"{arguments[0]}.log").open("ab") as log:
        command = [sys.executable, "-m", "dask", *arguments]
        return subprocess.Popen(command, env={**os.environ, **ONE}, stdout=log, stderr=log)
