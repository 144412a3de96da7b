"""Starts a program so that it cannot outlive who started it: `python exec_child.py COMMAND ARGUMENT...`

Run as a file, with the standard library alone: it is the first thing in every service's process, which supervisord
has made the leader of a group of its own.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent = os.getppid()
    if sys.platform == "linux":
        # after kill -9 of supervisord a new one could not bind its children's ports
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)  # it ended before the line above could take effect
    # a shell's background job ignores SIGINT, and Prefect turns SIGTERM into it: it could never be stopped
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606


main()
