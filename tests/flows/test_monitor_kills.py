"""kill -9 of monitor, anywhere: every prediction is counted once, every window judged, no alarm or decision lost."""

from __future__ import annotations

import random
import time

import pytest
import yaml

from benchmarks.monitor_kills import KILLED, disagreements, nursery, served
from benchmarks.served_log import ServedLog
from tasks.project import load_project
from tasks.registry import read_ledger
from tasks.releases import packaged

ROUNDS = [pytest.param(6), pytest.param(50, marks=[pytest.mark.drill, pytest.mark.timeout(900)])]
WATCHED = {
    "monitor": {"min_rows": 100, "alarm_windows": 2, "alarm_of": 2},
    "retrain": {
        "enabled": True,
        "min_new_labels": 0,
        "cooldown_hours": 0,
        "daily_budget": 100,
        "give_up_hours": 0.0001,
    },
}


@pytest.fixture
def log(releases, tmp_path):
    from benchmarks.tiny import within

    with within(releases.copy(tmp_path / "checkout")) as tiny:
        path = tiny.root / "configs" / "tiny.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **WATCHED}, sort_keys=False))
        candidate = packaged("tiny", "tiny-v1").candidate
        yield tiny, ServedLog(tiny.home, "tiny-v1", candidate, load_project("tiny").features, 400)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_killed_at_random_moments(log, rounds):
    tiny, log = log
    chance = random.Random(20)
    with nursery(tiny) as runs:
        for _ in range(2):  # before the first, everything is imported
            kills, began = 0, time.monotonic()
            served(log, chance)
            assert runs.run() == 0
        whole = time.monotonic() - began
        while kills < rounds:
            served(log, chance)
            kills += runs.run(kill_after=chance.uniform(0, whole)) == KILLED
        assert runs.run() == 0
        assert runs.run() == 0
    assert disagreements(load_project("tiny"), log) == []


def test_killed_before_and_after_each_write(log):
    """Round n kills at the n-th place; the last is the first that a run does not come to."""
    tiny, log = log
    chance = random.Random(21)
    with nursery(tiny) as runs:
        served(log, chance)
        assert runs.run() == 0
        place, code = 0, KILLED
        while code == KILLED:
            served(log, chance)
            code = runs.run(kill_at=place)
            place += 1
        assert (code, place > 15) == (0, True), (code, place)
        assert runs.run() == 0
    assert disagreements(load_project("tiny"), log) == []
    asked = [event for event in read_ledger("tiny") if event.kind == "retrain asked"]
    assert asked
