"""Tells Prefect's server of events that are in the ledger already: `-m tasks.rollout.telling PROJECT SEQUENCE...`

The warden starts it: telling Prefect imports it, and the warden stays small.
"""

from __future__ import annotations

import subprocess
import sys
import time

from penstock.ledger import Event
from tasks.machine.mortal import MORTAL
from tasks.platform import events as prefect_events
from tasks.platform import platform
from tasks.registry import ledger_store

SERVER_SECONDS = 120  # after a start of everything the server takes a while


def tell_later(told: list[Event]) -> None:
    """Have a process of its own tell of these events; nobody waits for it."""
    for project in sorted({event.project for event in told}):
        numbers = [str(event.sequence) for event in told if event.project == project]
        subprocess.Popen([*MORTAL, sys.executable, "-m", "tasks.rollout.telling", project, *numbers])


def main(project: str, *numbers: str) -> None:
    end = time.monotonic() + SERVER_SECONDS
    while not platform.answers() and time.monotonic() < end:
        time.sleep(1)
    for event in ledger_store.read_all(project):
        if str(event.sequence) in numbers:
            prefect_events.tell_server(event)


if __name__ == "__main__":
    main(*sys.argv[1:])
