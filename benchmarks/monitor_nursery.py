"""Runs monitor flows that are to be killed: a child of this process for each line that it reads.

    python -m benchmarks.monitor_nursery

A line is a number: the durable write at which the child kills itself, -1 for none. Answers with the child's pid, and
after its end with its exit code. What takes long, importing, is done once; nothing has used a thread when it forks.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from tasks.machine.settings import settings

settings()
import polars as pl  # noqa: E402, F401
import pyarrow.parquet  # noqa: E402, F401
import scipy.stats  # noqa: E402, F401

from flows.monitor import monitor  # noqa: E402
from tasks.data.whylogs_profile import load_whylogs  # noqa: E402
from tasks.store import store  # noqa: E402

load_whylogs()
import whylogs.core.view.dataset_profile_view  # noqa: E402, F401

WRITES = ("write_atomic", "_adopt")  # all that lasts goes through one of them


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _child(int(line))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _child(kill_at: int) -> None:
    code = 1
    try:
        if kill_at >= 0:
            _arm(kill_at)
        monitor.fn("tiny", close=True)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _arm(kill_at: int) -> None:
    """Kill this process before (even) or after (odd) its n-th durable write."""
    seen = [0]

    def mortal(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            _reached(seen, kill_at)
            result = write(*args, **kwargs)
            _reached(seen, kill_at)
            return result

        return wrapped

    for name in WRITES:
        setattr(store, name, mortal(getattr(store, name)))


def _reached(seen: list[int], kill_at: int) -> None:
    if seen[0] == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    seen[0] += 1


if __name__ == "__main__":
    main()
