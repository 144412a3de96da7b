"""Pieces of work that tests send to the workers of a cluster."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
from xgboost.collective import Op, allreduce

from penstock.errors import DataError
from penstock.refs import FileRef
from tasks.store import store


def doubled(ref: FileRef) -> FileRef:
    """A file with the other's text twice."""
    return store.put_bytes(store.read_bytes(ref) * 2, "doubled.txt")


def square(number: int) -> tuple[int, int]:
    """(the square, the process that computed it); the larger the number, the sooner."""
    time.sleep(0.1 / (1 + number))
    return number * number, os.getpid()


def refused(number: int) -> int:
    if number == 2:
        raise DataError("Piece 2 is wrong.", where="row 7", next_step="mend it")
    return number


def divided(number: int) -> float:
    return 1 / number


def killed_once(flag: str) -> int:
    """Kills its worker, unless one has died of it already."""
    if not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def deadly(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def waits(flag: str) -> None:
    """Until somebody removes the file; says that it runs by making it."""
    Path(flag).touch()
    while Path(flag).exists():
        time.sleep(0.05)


def running(dask_worker) -> int:
    """How many pieces the worker is doing; to be sent by `Client.run`."""
    return len(dask_worker.active_threads)


def summed(number: int, tell) -> float:
    """The numbers of all parts, added up again and again; part 1 breaks off."""
    total = 0.0
    for step in range(1000):
        if number == 1 and step == 50:
            raise DataError("Part 1 cannot go on.")
        total = float(allreduce(np.array([float(number)]), Op.SUM)[0])
        tell(total)
    return total
