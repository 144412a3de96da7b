"""The time is the machine's, unless this very process simulates."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

from tasks.machine import clock
from tasks.machine.clock import nanoseconds
from tasks.serving import release_server
from tests.waiting import PATIENCE

START = datetime(2013, 10, 1, tzinfo=UTC)


def test_a_simulated_clock_shows_what_is_set_never_goes_back_and_ends(tmp_path):
    assert clock.file() == "" and abs(clock.now().timestamp() - time.time()) < 60
    with clock.simulated(tmp_path / "clock", START) as simulated:
        assert clock.now() == START and clock.file() == str(tmp_path / "clock")
        simulated.set(START + timedelta(days=1))
        simulated.set(START)
        assert clock.now() == START + timedelta(days=1)
    assert clock.file() == "" and clock.now() > START + timedelta(days=365)


def test_a_server_of_the_sandbox_reads_the_same_clock_and_tells_no_moment_twice(tmp_path):
    bento = tmp_path / "bento"
    (bento / "src" / "bentos").mkdir(parents=True)
    launcher = bento / "src" / "bentos" / "launch.py"
    launcher.write_text("import time; input(); print(time.time_ns(), time.time_ns(), time.time_ns(), time.time())")
    with clock.simulated(tmp_path / "clock", START) as simulated:
        launch = str(release_server.BESIDE / "simulated_launch.py")
        command = [sys.executable, "-I", launch, str(bento), clock.file()]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        simulated.set(START + timedelta(hours=1))  # while it runs
        said, _ = process.communicate("\n", timeout=PATIENCE)
    *told, real = said.split()
    first = nanoseconds(START + timedelta(hours=1))
    assert [int(each) for each in told] == [first, first + 1, first + 2]
    assert abs(float(real) - time.time()) < 60
