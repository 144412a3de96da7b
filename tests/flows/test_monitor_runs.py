"""Monitor runs on a release that nobody had to train: what they keep and show, and kill -9 of them, anywhere.

Then every prediction is counted once in the end, every window is judged, and no alarm or decision is lost.
"""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import pytest
import yaml

from benchmarks.monitor_kills import KILLED, disagreements, nursery, served
from benchmarks.served_log import ServedLog
from benchmarks.tiny import within
from flows.monitor import monitor
from flows.status import status
from flows.train import train
from penstock.errors import PenstockError
from tasks.data.project import load_project
from tasks.monitoring.label_sources import LabelSource
from tasks.monitoring.labelling import record_labels
from tasks.monitoring.retraining import retrain_history, tell_of_serving
from tasks.platform import events
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged
from tasks.store import store

ROWS = 250
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
def tiny(releases, tmp_path):
    with within(releases.copy(tmp_path / "checkout")) as found:
        change(found, **WATCHED)
        yield found


@pytest.fixture
def log(tiny):
    candidate = packaged("tiny", "tiny-v1").candidate
    return ServedLog(tiny.home, "tiny-v1", candidate, load_project("tiny").features, ROWS)


def change(tiny, **sections) -> None:
    """Of the project's YAML."""
    path = tiny.root / "configs" / "tiny.yaml"
    tree = yaml.safe_load(path.read_text())
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section}
    path.write_text(yaml.safe_dump(tree, sort_keys=False))


def kinds() -> list[str]:
    """Of the ledger's events, after the two releases."""
    return [event.kind for event in read_ledger("tiny")][2:]


def drifted(row):
    return row | {"size": (row["size"] or 0) * 0.2}


@pytest.mark.parametrize("rounds", ROUNDS)
def test_killed_at_random_moments(tiny, log, rounds):
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


def test_killed_before_and_after_each_write(tiny, log):
    """Round n kills at the n-th place; the last is the first that a run does not come to."""
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


def answers(log, count: int, first: int = 1) -> LabelSource:
    """Labels of the first requests, true where the score is high, in a file."""
    path = log.folder.parents[3] / "labels.csv"
    rows = [f"id{number},{log.scores[(number - 1) % len(log.scores)] > 0.5}" for number in range(first, first + count)]
    path.write_text("\n".join(["request_id,late", *rows]))
    return LabelSource(file=str(path))


def test_what_a_run_finds_is_kept_told_and_shown(tiny, log):
    change(tiny, labels={"period": "day", "min_coverage": 0.5, "mature_hours": 0})
    log.segment()
    first = monitor.fn("tiny", close=True)
    assert set(first.verdict.estimate) == {"accuracy", "f1", "log_loss", "auc"}
    assert first.verdict.earlier is None and first.live is None
    record_labels(load_project("tiny"), answers(log, ROWS))
    log.segment(change=drifted)
    second = monitor.fn("tiny", close=True)
    assert second.verdict.earlier.moved == ("size",) and second.verdict.earlier.rows == ROWS
    assert second.live.rows == ROWS and not second.live.final  # the day is not over
    said = str(second)
    for text in (
        "beside the window before: size moved",
        "without labels: auc about",
        "labelled: tiny-v1: auc",
        "report: ",
    ):
        assert text in said

    html = Path(second.report).read_text()
    assert (
        'aria-label="auc by period"' in html
        and 'class="live provisional"' in html
        and "Beside the window before" in html
    )
    assert html.count('class="cell beyond"') == 1 and html.count('class="cell within"') == 7  # volume is not judged yet
    assert str(second.live.metrics["auc"]) in html
    shown = tiny.penstock("status", "tiny")
    assert f"drift report: {second.report}" in shown and "without labels: auc about" in shown
    assert f"labelled: {second.live}"[:60] in shown
    assert tiny.penstock("report", "tiny", "--drift").strip() == second.report


def test_the_quality_of_a_window_too_small_to_be_judged_is_not_estimated(tiny, log):
    change(tiny, monitor={"min_rows": ROWS + 1})
    log.segment()
    assert monitor.fn("tiny", close=True).verdict.estimate == {}


def test_status_computes_nothing(tiny, log, monkeypatch):
    log.segment()
    monitor.fn("tiny", close=True)
    read = []
    monkeypatch.setattr(store, "locate", read.append)
    found = status("tiny")
    assert read == [] and found.projects[0].estimate


def test_a_report_is_written_anew_when_labels_have_come_and_not_otherwise(tiny, log):
    change(tiny, labels={"period": "day"})
    log.segment()
    path = Path(monitor.fn("tiny", close=True).report)
    before = path.stat().st_mtime_ns
    assert monitor.fn("tiny").report == str(path) and path.stat().st_mtime_ns == before
    record_labels(load_project("tiny"), answers(log, 100))
    monitor.fn("tiny")
    assert path.stat().st_mtime_ns > before


def test_what_was_written_down_and_not_told_is_told_by_the_next_run(log, monkeypatch):
    """Killed between the ledger and the event: nobody would train, and nobody would ask again."""
    told = []

    def killed(event):
        if event.kind == "retrain asked" and "killed" not in told:
            told.append("killed")
            raise KeyboardInterrupt
        told.append(event.kind)

    monkeypatch.setattr(events, "tell_of", killed)
    for _ in range(2):
        log.segment(change=drifted)
        with contextlib.suppress(KeyboardInterrupt):
            monitor.fn("tiny", close=True)
    assert kinds() == ["alarm", "retrain asked"] and told == ["alarm", "killed"]
    monitor.fn("tiny")
    assert told == ["alarm", "killed", "retrain asked", "retrain not asked"]
    assert kinds().count("retrain asked") == 1
    monitor.fn("tiny")
    assert told.count("retrain asked") == 1


@pytest.mark.parametrize("ends", ["already there", "no data", "rejected"])
def test_a_training_that_made_nothing_did_not_help_at_once(tiny, log, ends):
    tell_of_serving("tiny", "retrain asked", "size moved", causes="value drift")
    if ends == "rejected":
        change(tiny, gate={"metrics": {"auc": {"min": 0.99}}})
    if ends == "no data":
        (tiny.root / "data" / "tiny.dvc").unlink()
    with pytest.raises(PenstockError) if ends == "no data" else contextlib.nullcontext():
        found = train.fn("tiny")
        assert ends == "rejected" or not found.release.new
    (attempt,) = retrain_history("tiny").attempts
    assert attempt.helped is False
    assert kinds()[-1] == ("rejected" if ends == "rejected" else "retrain did not help")
    reason = read_ledger("tiny")[-1].reason
    assert ends == "rejected" or ("already: tiny-v2" if ends == "already there" else "training failed") in reason
