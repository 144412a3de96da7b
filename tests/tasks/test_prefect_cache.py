"""Prefect's locks as kernel locks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.waiting import PATIENCE

HOLD = """
import time
from tasks.store.prefect_cache import FlockManager
assert FlockManager().acquire_lock("train.v1", "them", acquire_timeout=1)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def manager(checkout):
    from tasks.store.prefect_cache import FlockManager

    return FlockManager()


def test_one_holder_at_a_time_in_a_process(manager):
    assert manager.acquire_lock("key", "a", acquire_timeout=1)
    assert manager.acquire_lock("key", "a", acquire_timeout=0)  # its holder may ask again
    assert not manager.acquire_lock("key", "b", acquire_timeout=0.1)
    assert manager.is_locked("key")
    assert (manager.is_lock_holder("key", "a"), manager.is_lock_holder("key", "b")) == (True, False)
    with pytest.raises(ValueError, match="does not hold"):
        manager.release_lock("key", "b")
    manager.release_lock("key", "a")
    assert not manager.is_locked("key")
    assert manager.wait_for_lock("key", timeout=1)


def test_another_process_is_waited_for_and_its_death_frees_the_lock(manager):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True, env=environment) as them:
        assert them.stdout.readline() == "held\n"
        assert manager.is_locked("train.v1")
        assert not manager.is_locked("train.v2")  # names that differ after a dot are different locks
        assert not manager.acquire_lock("train.v1", "us", acquire_timeout=0.2)
        assert not manager.wait_for_lock("train.v1", timeout=0.2)
        them.send_signal(signal.SIGKILL)
        them.wait()
    assert manager.acquire_lock("train.v1", "us", acquire_timeout=PATIENCE)
    manager.release_lock("train.v1", "us")
