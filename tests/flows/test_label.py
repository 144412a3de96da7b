"""`penstock label`: a file of labels, what it did, and how much of each week is labelled."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tasks.monitoring import label_store
from tests.served import serve_rows


@pytest.fixture
def answered(live):
    """100 predictions about the tiny project's ids, all in week 34 of 2025."""
    live.change(labels={"by": "keys", "key_columns": ["id"]})
    moment = int(datetime(2025, 8, 20, tzinfo=UTC).timestamp() * 1e9)
    rows = {"request_id": [f"r{n}" for n in range(100)], "row": 0, "time_ns": moment, "model": "tiny-v1"}
    rows |= {"environment": "production", "score": 0.5, "decision": True, "id": [f"b1-{n}" for n in range(100)]}
    serve_rows("tiny", rows)
    return live


def write(live, name: str, labels: dict[str, int]) -> str:
    path = live.root / name
    path.write_text("id,late\n" + "".join(f"{key},{label}\n" for key, label in labels.items()))
    return name


def test_labels_arrive_late_again_and_corrected(answered):
    first = {f"b1-{n}": n % 2 for n in range(71)} | {"x-1": 1}
    told = answered.penstock("label", "tiny", write(answered, "a.csv", first))
    assert told.returncode == 0, told.stderr
    assert "tiny: 72 new, 0 corrected, 0 known already, 1 without a prediction" in told.stdout
    assert "71 % of week 34 of 2025 labelled: provisional, needs 90%" in told.stdout

    again = answered.penstock("label", "tiny", "a.csv")
    assert "nothing new: these labels were recorded on" in again.stdout

    rest = {"b1-0": 1} | {f"b1-{n}": 0 for n in range(71, 95)}
    found = json.loads(answered.penstock("label", "tiny", write(answered, "b.csv", rest), "--json").stdout)
    assert {name: found["labels"]["recorded"][name] for name in ("new", "corrected")} == {"new": 24, "corrected": 1}
    assert (found["coverage"][0]["labelled"], found["coverage"][0]["waits_for"]) == (95, "")

    wrong = write(answered, "c.csv", {"b1-1": 2})
    refused = answered.penstock("label", "tiny", wrong)
    assert (refused.returncode, "row 1: '2'" in refused.stderr) == (4, True)
    assert len(label_store.read_entries("tiny")) == 2


def test_a_secret_in_the_url_is_refused_before_anything_starts(checkout):
    told = checkout.penstock("label", "tiny", "--sql", "postgresql://me:hunter2@db/x", "--query", "SELECT 1")
    assert told.returncode == 2
    assert "PENSTOCK_SQL_PASSWORD" in told.stderr and "hunter2" not in told.stderr + told.stdout


def test_retraining_that_is_not_stopped_cannot_be_resumed(checkout):
    told = checkout.penstock("resume", "tiny", "--reason", "the rows are mended")
    assert (told.returncode, "is not stopped" in told.stderr) == (9, True)
