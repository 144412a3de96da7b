"""Locks end with the process that holds them, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from penstock.errors import StorageError
from tasks.store import locks
from tests.waiting import PATIENCE

HOLD = """
import sys, time
from tasks.store import locks
with locks.exclusive("drill"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(checkout):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_that_is_held_is_waited_for_and_named(holder):
    told = []
    with (
        pytest.raises(StorageError, match="drill"),
        locks.exclusive("drill", waiting=lambda: told.append(1), timeout=0.5),
    ):
        raise AssertionError("two held the lock")
    assert told == [1]


def test_kill_9_of_the_holder_leaves_nothing_locked(holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locks.exclusive("drill", timeout=PATIENCE):
        pass


def test_different_names_do_not_wait_for_each_other(holder):
    with locks.exclusive("drill.2", timeout=0.5):
        pass
