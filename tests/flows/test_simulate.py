"""Months pass in a sandbox: what monitoring finds is answered by a training and a rollout, and nothing is lost."""

from __future__ import annotations

import json

import pytest

from tasks.registry.registry import read_ledger

ROWS = 1200
LOOP = [
    "registered", "promoted", "healthy",
    "alarm", "retrain asked",
    "registered", "shadow", "canary", "promoted", "healthy",
    "retrain helped",
]  # fmt: skip


@pytest.fixture
def year(checkout):
    """Seven batches, the last of them not trained on; a label is known soon, and a day is judged by its labels."""
    checkout.source(batches=7, rows=ROWS)
    checkout.change(
        data={"until": "b6"},
        split={"validation": 0.1, "test": 0.1},
        monitor={"window_seconds": 86400, "min_rows": 60},
        labels={"period": "day", "mature_hours": 24},
        retrain={"min_new_labels": 100, "margin": 0.05},
        rollout={"replay_rate": 25, "replay_requests": 300},
    )
    return checkout


def simulated(checkout, *options: str) -> dict:
    told = checkout.penstock("simulate", "tiny", "--json", *options)
    assert told.returncode == 0, told.stderr[-3000:] + told.stdout[-1000:]
    found = json.loads(told.stdout)
    assert (found["failed"], found["refused"]) == (0, 0)
    assert found["requests"] == found["predictions"] == found["distinct"] == found["labels"]
    assert not (checkout.root / "data").exists() and read_ledger("tiny") == []  # the user's checkout is left alone
    return found


def test_a_planted_shift_goes_the_whole_way_to_a_better_release(year):
    found = simulated(year, "--scenario", "concept")
    assert found["requests"] == ROWS
    kinds = [moment["what"] for moment in found["moments"]]
    place = -1
    for kind in LOOP:
        place = kinds.index(kind, place + 1)
    alarm = next(moment for moment in found["moments"] if moment["what"] == "alarm")
    assert alarm["text"].startswith("performance drop: auc is more than 0.05 worse")
    assert alarm["time"] > "2024-07-29"  # the simulation's time, not the machine's
    before, after, beside = found["before"]["metric"], found["after"]["metric"], found["beside"]
    assert before["high"] < after["low"] and beside["high"] < after["low"]
    assert found["promoted"][-1] == found["after"]["version"]


def test_months_like_those_before_ask_for_nothing(year):
    found = simulated(year, "--share", "0.5")
    assert found["requests"] == ROWS // 2
    assert (found["retrains"], found["after"], found["promoted"]) == (0, None, [])
    assert found["before"]["metric"]["low"] > 0.6


def test_a_project_that_cannot_be_played_is_told_why(checkout):
    checkout.change(data={"until": "b4"})
    told = checkout.penstock("simulate", "tiny")
    assert (told.returncode, "There are no rows to play" in told.stderr) == (2, True)
    checkout.change(data={"until": "b3"}, features={"time": None}, split={"gap_hours": None})
    told = checkout.penstock("simulate", "tiny")
    assert (told.returncode, "no time column" in told.stderr) == (2, True), told.stderr
    checkout.change(data={"until": "b1"}, features={"time": "at"})
    told = checkout.penstock("simulate", "tiny", "--scenario", "concept")
    assert (told.returncode, "A shift cannot be planted" in told.stderr) == (2, True)
