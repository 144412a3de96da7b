"""What was served is taken once, compared with training, and answered; nothing here needs a server."""

from __future__ import annotations

import pytest

from benchmarks.served_log import ServedLog
from flows.monitor import monitor
from penstock.errors import StorageError
from penstock.label_coverage import PERIOD, with_period
from tasks.data.project import load_project
from tasks.monitoring import collecting
from tasks.monitoring.collected_store import closed_segments, read_windows
from tasks.monitoring.served_store import read_served
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged

ROWS = 400


@pytest.fixture
def log(released):
    released.change(monitor={"min_rows": 100, "alarm_windows": 2}, retrain={"enabled": True, "min_new_labels": 0})
    return ServedLog(released.home, "tiny-v1", packaged("tiny").candidate, load_project("tiny").features, ROWS)


def kinds() -> list[str]:
    return [event.kind for event in read_ledger("tiny")]


def test_traffic_like_the_training_data_raises_no_alarm_and_a_shift_asks_for_training(log):
    log.segment()
    found = monitor.fn("tiny", close=True)
    assert found.window.counts.rows == len(log.rows)
    assert (found.alarms, found.decision.action) == ((), "no")
    assert kinds() == ["registered"]

    for _ in range(2):  # one window is chance, two of them an alarm
        log.segment(change=lambda row: row | {"size": (row["size"] or 0) * 0.2})
        found = monitor.fn("tiny", close=True)
    assert [alarm.cause for alarm in found.alarms] == ["value drift"]
    assert "size" in found.alarms[0].reason
    assert found.decision.action == "retrain"
    assert kinds() == ["registered", "alarm", "retrain asked"]

    log.segment()  # back to what it was
    assert monitor.fn("tiny", close=True).alarms == ()
    assert kinds()[-1] == "alarm cleared"


def test_what_the_flow_sent_itself_and_copies_are_left_out(log):
    log.segment(replay=True)
    log.segment(shadow=True)
    log.segment(environment="staging")
    found = monitor.fn("tiny", close=True)
    assert (found.window.counts.requests, found.verdict) == (0, None)
    assert (found.window.counts.replayed, found.window.counts.copies) == (len(log.rows), len(log.rows))


def test_every_prediction_is_counted_once_wherever_a_monitor_is_killed(log, monkeypatch):
    def killed(window):
        raise StorageError("killed")

    log.segment()
    monkeypatch.setattr(collecting, "append_window", killed)
    with pytest.raises(StorageError):
        monitor.fn("tiny", close=True)
    assert read_windows("tiny") == []
    monkeypatch.undo()
    monitor.fn("tiny", close=True)
    log.segment()
    monitor.fn("tiny", close=True)
    assert monitor.fn("tiny", close=True).window is None
    served = read_served(read_windows("tiny"))
    assert (served.height, served["request_id"].n_unique()) == (2 * len(log.rows), 2 * len(log.rows))
    assert len(closed_segments("tiny")) == 2


def test_a_window_that_is_neither_full_nor_over_waits(log):
    log.segment()
    assert monitor.fn("tiny").window is None
    assert monitor.fn("tiny", close=True).window is not None


def test_a_time_in_the_rows_says_which_period_they_belong_to(live, log):
    live.change(labels={"time": "at"})
    log.segment(change=lambda row: row | {"at": "2025-08-20T10:00:00"})
    monitor.fn("tiny", close=True)
    served = with_period(read_served(read_windows("tiny"), ("at",)), load_project("tiny").labels)
    assert (served.height, served[PERIOD].unique().to_list()) == (len(log.rows), ["2025-W34"])


def test_what_the_log_leaves_out_and_what_labels_need_is_no_skew(live, log):
    live.change(serve={"log": {"drop": ["seats"]}}, labels={"by": "keys", "key_columns": ["id"]})
    number = iter(range(10_000))

    def kept(row: dict) -> dict:
        return {name: value for name, value in row.items() if name != "seats"} | {"id": f"r{next(number)}"}

    log.segment(change=kept)
    found = monitor.fn("tiny", close=True)
    assert found.verdict.rows == len(log.rows)
    assert (found.alarms, [check.name for check in found.verdict.checks if check.alarm]) == ((), [])
