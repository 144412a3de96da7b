"""Starts a release whose prediction log has a simulation's time: `python -I simulated_launch.py BENTO CLOCK`.

It is the release's own launcher; only the times it writes down come from ``CLOCK``, the file that
`tasks/machine/clock.py` describes. What waits, such as timeouts, goes by the machine's time.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    bento, clock = sys.argv[1], sys.argv[2]
    with Path(clock).open("rb") as file:
        shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    lock, last = threading.Lock(), 0

    def time_ns() -> int:
        """No moment twice: files of the log are named by theirs."""
        nonlocal last
        with lock:
            shown: int = struct.unpack("q", shared[:8])[0]
            last = max(last + 1, shown)
            return last

    time.time_ns = time_ns
    sys.argv = [str(Path(bento) / "src" / "bentos" / "launch.py"), bento]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
