"""A run that is killed, interrupted or doubled at any step: nothing half-written, and a rerun that goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import time

import pytest

from tests.interrupted import STEPS, assert_whole, start
from tests.waiting import PATIENCE


def one_round(values: list) -> list:
    """All of them for `-m drill`; by default one, chosen by the day's seed."""
    chosen = random.Random(20261121).choice(values)
    return [value if value == chosen else pytest.param(value, marks=pytest.mark.drill) for value in values]


def until(process: subprocess.Popen[str], step: str) -> list[str]:
    """Read the run's lines up to the end of ``step``."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if step in line:
            return lines
    raise AssertionError(f"the run ended before `{step}`: {''.join(lines)}")


@pytest.mark.parametrize("step", one_round(STEPS[:-1]))
def test_kill_9_after_any_step_loses_nothing_that_was_finished(live, step):
    process = start(live)
    until(process, step)
    time.sleep(random.Random(step).uniform(0, 0.4))  # into the step after it
    process.kill()
    process.wait()
    rerun = live.penstock("run", "tiny")
    assert rerun.returncode == 0, rerun.stderr
    if STEPS.index(step) >= STEPS.index("evaluate model"):
        assert "✓ train model" not in rerun.stderr
    assert_whole(live)


@pytest.mark.parametrize("step", one_round(STEPS[:-2]))
def test_ctrl_c_after_any_step_says_what_to_do(live, step):
    process = start(live)
    until(process, step)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "run the command again" in rest
    assert "Traceback" not in rest
    assert_whole(live)


def test_two_runs_at_once_make_one_release(live):
    first, second = start(live), start(live)
    said = [process.communicate(timeout=2 * PATIENCE)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert sum("✓ train model" in text for text in said) == 1
    assert_whole(live)
