"""The drill: what counts as caught, and one round of it with a real sandbox."""

from __future__ import annotations

import pytest

from benchmarks.tiny import serves
from flows import drill as drill_module
from flows.drill import Drill, Round, drill
from penstock.errors import DataError, PackagingError, PlatformError, RolloutError, StorageError
from penstock.rollout import Plan
from penstock.verdict import Verdict
from tasks.registry.registry import read_ledger
from tasks.rollout.rollout_routes import Rollout

PLAN = Plan(project="tiny", version="tiny-v2", champion="tiny-v1", serves=False, baked=False, id="r")
WRONG = Verdict(decision="fail", reasons=("errors",), checks=(), needs=0)
REFUSED = PackagingError("The servers do not become ready.", found="exit 1")


@pytest.mark.parametrize(
    ("fault", "ended", "result"),
    [
        ("errors", WRONG, "failed"),
        ("errors", WRONG.model_copy(update={"decision": "hold"}), "held"),
        ("errors", "", "promoted"),
        ("crash", REFUSED, "failed"),
        ("errors", REFUSED, "broke off"),  # the machine was too slow to start it: its errors were never seen
        *((fault, kind("no"), "broke off") for fault in ("crash", "errors") for kind in (PlatformError, StorageError)),
        ("errors", DataError("no"), "broke off"),
        ("errors", RolloutError("no"), "broke off"),
    ],
)
def test_only_a_release_that_was_judged_or_does_not_start_was_caught(monkeypatch, fault, ended, result):
    def rolled_out(rollout):
        if isinstance(ended, Exception):
            raise ended
        return ended

    monkeypatch.setattr(drill_module, "roll_out", rolled_out)
    found, reasons = drill_module._result(Rollout(PLAN, None, None, fault=fault))
    assert found == result
    told = Round(
        fault=fault, result=found, step="", detected=1, recovered=1, requests=9, failed=0, reason="; ".join(reasons)
    )
    assert told.passed == (result == "failed")
    said = Drill(project="tiny", version="tiny-v1", rounds=(told,))
    assert said.passed == told.passed
    if result == "broke off":
        assert ended.what in str(said)


def test_a_drill_leaves_what_serves_alone_and_says_what_it_saw(tiny):
    serves("tiny-v1")
    found = drill("tiny", ("errors",))
    (only,) = found.rounds
    assert (found.passed, found.version, only.result, only.failed) == (True, "tiny-v1", "failed", 0), str(found)
    assert only.requests > 100
    last = read_ledger("tiny")[-1]
    assert (last.kind, last.version, last.facts["passed"]) == ("drilled", "tiny-v1", "True")
