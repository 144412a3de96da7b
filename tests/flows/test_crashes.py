"""kill -9 in the middle of a rollout, under load: afterwards everything agrees with what is desired again.

And at the very point between a change of who serves and the ledger's word of it, which chance would hardly hit.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from benchmarks.rollout_check import settled
from benchmarks.rollout_kills import KILLS, kill_round
from benchmarks.rollout_load import load
from benchmarks.tiny import bodies, serves
from penstock.desired import Route, with_route
from tasks.platform import supervision
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged, server_of
from tasks.rollout.rollback import answering
from tasks.serving import release_server, serving
from tasks.store import locks
from tests.waiting import PATIENCE, until

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
    assert found.outage < PATIENCE


def test_while_a_canarys_champion_has_no_process_left_the_challenger_answers(tiny):
    serves("tiny-v1")
    serve = serving.read().route("production", "tiny").serve
    canary = Route(champion="tiny-v1", challenger="tiny-v2", weight=25, rollout="dead", serve=serve)
    with locks.exclusive("deploy-tiny"), serving.kept("tiny-v2"):
        serving.start(server_of(packaged("tiny", "tiny-v2"), serve))
        assert release_server.becomes_ready("tiny-v2")
        serving.change(lambda desired: with_route(desired, "production", "tiny", canary))
        with load(serving.address(), "tiny", bodies(), rate=100) as seen:
            for process in supervision.group("tiny-v1"):
                os.kill(process["pid"], signal.SIGKILL)
            time.sleep(0.1)
            assert answering("tiny", seconds=0.5) != "tiny-v2"  # who serves is still the champion, or nobody
            assert release_server.becomes_ready("tiny-v1")
            time.sleep(1)
    assert seen.failed == []
    assert settled("tiny") == []  # the warden has taken the challenger out, whom nobody leads


# the process is killed where it would append to the ledger for the last times: so many are let through
DYING = """
import os, signal
from tasks.registry import ledger_store
from flows.deploy import plan_rollout, start_release
from penstock.verdict import Verdict
from tasks.rollout import rollback; from tasks.serving import serving
from tasks.data.project import load_project
from tasks.registry.releases import packaged
from tasks.rollout.rollout import deploying, promote_release, withdraw
from tasks.rollout.rollout_routes import Rollout, point
append = ledger_store.append
def dies_after(count):
    left = [None] * count
    def dying(*given):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left.pop()
        return append(*given)
    ledger_store.append = dying
project = load_project("tiny")
with deploying("tiny"), serving.kept("tiny-v2"):
    rollout = Rollout(plan_rollout(project, "tiny-v2", "r1", False, ""), packaged("tiny", "tiny-v2"), project)
    start_release.fn(rollout)
    point(rollout, challenger="tiny-v2", weight=25)
"""
WITHDRAWN = 'withdraw(rollout, "failed", ("it is wrong",))'
FAILED = [("failed", "tiny-v2"), ("quarantined", "tiny-v2")]
BACK = ("rolled back", "tiny-v1")


@pytest.mark.parametrize(
    ("last", "events"),
    [
        (f"    dies_after(0); {WITHDRAWN}", FAILED),
        (
            f"    promote_release.fn(rollout); dies_after(1); {WITHDRAWN}",
            [("promoted", "tiny-v2"), FAILED[0], BACK, FAILED[1]],
        ),
        ('dies_after(0); rollback.roll_back("tiny", "it is wrong")', [BACK, FAILED[1]]),
    ],
    ids=["canary", "bake", "rollback"],
)
def test_killed_between_who_serves_and_the_ledgers_word_of_it(tiny, last, events):
    serves("tiny-v1")
    before = len(read_ledger("tiny"))
    dying = tiny.start("-c", DYING + last)
    said, _ = dying.communicate(timeout=PATIENCE)
    assert dying.returncode == -signal.SIGKILL, said
    until(lambda: not serving.read().untold)  # the warden tells the ledger in its place
    assert settled("tiny") == []
    assert [(event.kind, event.version) for event in read_ledger("tiny")[before:]] == events
    assert {event.reason for event in read_ledger("tiny") if event.kind == "quarantined"} == {"it is wrong"}
