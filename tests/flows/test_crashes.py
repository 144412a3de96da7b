"""kill -9 in the middle of a rollout, under load: afterwards everything agrees with what is desired again."""

from __future__ import annotations

import pytest

from benchmarks.rollout_kills import KILLS, kill_round
from benchmarks.tiny import bodies

IN_FLIGHT = 16  # connections of the clients: what a killed process held, or was being sent
RESTARTED = ("champion", "everything")  # nobody answers until the processes are back
ROUNDS = [pytest.param(0), *(pytest.param(seed, marks=pytest.mark.drill) for seed in range(1, 20))]


@pytest.mark.parametrize("seed", ROUNDS)
@pytest.mark.parametrize("kill", KILLS)
def test_kill(tiny, kill, seed):
    tiny.change()
    found = kill_round(tiny, kill, seed, bodies())
    assert found.wrong == ()
    assert found.requests > 100
    if kill == "deploy":
        assert found.failed == ()
    elif kill not in RESTARTED:
        assert len(found.failed) <= IN_FLIGHT
    assert found.outage < 30
