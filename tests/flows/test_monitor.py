"""What was served is taken once, compared with training, and answered; nothing here needs a server."""

from __future__ import annotations

import json
import time

import polars as pl
import pytest

from flows.ingest import ingest
from flows.monitor import monitor
from flows.train import train
from penstock.errors import StorageError
from tasks import collecting, store
from tasks.collected_store import closed_segments, read_windows
from tasks.registry import read_ledger
from tasks.samples import json_rows, sample_rows
from tasks.served_store import read_served

ROWS = 400


class Log:
    """Writes closed segments as the servers of tiny-v1 do."""

    def __init__(self, checkout, candidate, features) -> None:
        self.folder = checkout.home / "predictions" / "tiny" / "tiny-v1"
        self.folder.mkdir(parents=True)
        self.rows = json_rows(sample_rows(candidate.splits, features, ROWS).drop("__row__"))
        scores = pl.read_parquet(store.locate(candidate.evaluation.predictions))["score"].to_list()
        self.scores = scores[: len(self.rows)]
        self.written = 0

    def segment(self, change=lambda row: row, score=lambda score: score, **facts) -> None:
        lines = []
        for row, known in zip(self.rows, self.scores, strict=False):
            self.written += 1
            head = {"time_ns": time.time_ns(), "id": f"id{self.written}", "model": "tiny-v1"}
            head |= {"environment": "production", "shadow": False, "replay": False, "status": 200, **facts}
            value = score(known)
            answer = {"model": "tiny-v1", "predictions": [value > 0.5], "probabilities": [value]}
            text = json.dumps(head, separators=(",", ":"))[:-1]
            lines.append(f'{text},"request":{json.dumps(change(row))},"response":{json.dumps(answer)}}}\n')
        name = f"{time.time_ns()}-{self.written}"
        (self.folder / f"{name}.jsonl").write_text("".join(lines))


@pytest.fixture
def log(live):
    live.change(monitor={"min_rows": 100, "alarm_windows": 2}, retrain={"enabled": True, "min_new_labels": 0})
    ingest("tiny", until="b3")
    outcome = train("tiny")
    from tasks.project import load_project

    return Log(live, outcome.candidate, load_project("tiny").features)


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
