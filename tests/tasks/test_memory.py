"""What is free between what is not goes back to the system, and where it cannot, nothing fails."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from tasks.machine import memory

SCATTERED = """
import os
from tasks.machine import memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

pieces = [bytes(4000) for _ in range(25_000)]
kept = pieces[::100]
del pieces
before = resident()
memory.give_back()
print(before - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_scattered_free_memory_goes_back() -> None:
    said = subprocess.run([sys.executable, "-c", SCATTERED], capture_output=True, text=True, check=True)
    assert float(said.stdout) > 50, "of 100 MB"


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: SimpleNamespace())
    memory.share_heaps()
    memory.give_back()
