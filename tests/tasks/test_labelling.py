"""From labels in a file to the quality of what served, and to what retraining knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from penstock.alarms import Alarm
from penstock.errors import DataError, RolloutError
from penstock.refs import Evaluation, FileRef
from tasks.data.project import load_project
from tasks.monitoring.collected_store import read_windows
from tasks.monitoring.estimating import calibrations
from tasks.monitoring.label_sources import LabelSource
from tasks.monitoring.labelling import record_labels
from tasks.monitoring.retraining import decide_and_tell, label_news, resume, retrain_history, tell_of_serving
from tasks.monitoring.score_store import stored_scores
from tasks.monitoring.scoring import label_coverage, score_periods
from tasks.monitoring.served_store import read_served
from tasks.registry import ledger_store
from tasks.store import store
from tests.served import serve_rows

NOW = datetime(2025, 9, 20, tzinfo=UTC)
ROWS = 150  # in each of two weeks
RECORD = FileRef(name="record.json", sha256="0" * 64, size=1)


def serve(**columns) -> None:
    """Two weeks of predictions about ids of the tiny project, one request of two rows each."""
    moments = [datetime(2025, 8, 20, tzinfo=UTC) + timedelta(days=7 * (n >= ROWS)) for n in range(2 * ROWS)]
    score = np.random.default_rng(1).uniform(size=2 * ROWS).astype(np.float32)
    rows = {
        "request_id": [f"r{n // 2}" for n in range(2 * ROWS)], "row": [n % 2 for n in range(2 * ROWS)],
        "time_ns": [int(moment.timestamp() * 1e9) for moment in moments], "model": "tiny-v1",
        "environment": "production", "score": score, "decision": score >= 0.5,
        "id": [f"i{n}" for n in range(2 * ROWS)], "color": ["red", "blue"] * ROWS, **columns,
    }  # fmt: skip
    serve_rows("tiny", rows)


def by_keys(checkout):
    checkout.change(labels={"by": "keys", "key_columns": ["id"]})
    return load_project("tiny")


def file(checkout, labels: dict, key: str = "id") -> LabelSource:
    path = checkout.root / "labels.csv"
    pl.DataFrame({key: list(labels), "late": list(labels.values())}).write_csv(path)
    return LabelSource(file=str(path))


def covered(project):
    score_periods(project)
    return label_coverage(project)


def test_a_correction_scores_its_own_week_again_and_changes_its_quality(checkout):
    project = by_keys(checkout)
    serve()
    truth = {f"i{n}": n % 3 == 0 for n in range(2 * ROWS)}
    assert record_labels(project, file(checkout, truth)).unmatched == 0
    assert score_periods(project) == ["2025-W34", "2025-W35"]
    before = stored_scores(project)
    assert [one.coverage.period for one in before] == ["2025-W34", "2025-W35"]
    assert all(one.final and len(one.slices) == 2 for one in before)
    assert score_periods(project) == []  # nothing is new

    corrected = record_labels(project, file(checkout, {"i200": not truth["i200"]})).recorded
    assert (corrected.new, corrected.corrected) == (0, 1)
    assert score_periods(project) == ["2025-W35"]
    same, again = stored_scores(project)
    assert same == before[0]
    assert again.positives == before[1].positives + (1 if not truth["i200"] else -1)
    assert again.metrics["auc"] != before[1].metrics["auc"]


def test_labels_that_come_before_what_they_belong_to_wait_for_it(checkout):
    project = by_keys(checkout)
    assert record_labels(project, file(checkout, {"i1": True})).unmatched == 1
    assert covered(project) == []
    serve()
    assert covered(project)[0].labelled == 1


def test_a_request_of_several_rows_needs_row_numbers(checkout):
    serve()
    project = load_project("tiny")
    with pytest.raises(DataError, match="several rows"):
        record_labels(project, file(checkout, {"r3": True}, "request_id"))
    assert covered(project)[0].labelled == 0
    (checkout.root / "labels.csv").write_text("request_id,row,late\nr3,0,1\nr3,1,0\n")
    record_labels(project, LabelSource(file=str(checkout.root / "labels.csv")))
    assert covered(project)[0].labelled == 2


def test_fields_that_a_file_lacks_are_null_and_a_file_of_something_else_is_refused(checkout):
    serve()
    assert read_served(read_windows("tiny"), ("id", "wet"))["wet"].null_count() == 2 * ROWS
    assert read_served([]).height == 0
    serve_rows("tiny", {"id": ["i1"]})
    with pytest.raises(DataError) as caught:
        read_served(read_windows("tiny"))
    assert "request_id: missing" in caught.value.found


def release(checkout) -> None:
    fields = {"version": "tiny-v1", "identity": "i", "record": RECORD, "reason": "", "facts": {}}
    ledger_store.append("tiny", lambda events: {"kind": "registered", **fields})


def test_labels_are_new_since_the_last_training(checkout):
    project = by_keys(checkout)
    record_labels(project, file(checkout, {"i1": True}))
    assert label_news(project).since_training == 1
    release(checkout)
    assert label_news(project).since_training == 0
    record_labels(project, file(checkout, {"i1": False, "i2": True}))
    assert label_news(project).since_training == 2


def test_what_was_stopped_is_resumed_by_a_person_with_a_reason(checkout):
    release(checkout)
    with pytest.raises(RolloutError, match="not stopped"):
        resume("tiny", "why not")
    tell_of_serving("tiny", "retraining stopped", "temp is text", causes="schema skew")
    assert retrain_history("tiny").stop.causes == ("schema skew",)
    with pytest.raises(RolloutError, match="reason"):
        resume("tiny", "")
    assert resume("tiny", "the source is mended").version == "tiny-v1"
    assert retrain_history("tiny").stop is None


def test_two_monitors_that_decide_at_once_ask_for_one_training(checkout, monkeypatch):
    checkout.change(retrain={"enabled": True, "min_new_labels": 0})
    release(checkout)
    project, alarms = load_project("tiny"), [Alarm(cause="value drift", reason="size moved")]
    link, raced = store.write_atomic, []

    def slower(path, content, exclusive=False):
        """Between this one's decision and its event, another decides and is first."""
        if not raced:
            raced.append(True)
            assert decide_and_tell(project, alarms, NOW)[1].kind == "retrain asked"
        link(path, content, exclusive=exclusive)

    monkeypatch.setattr(store, "write_atomic", slower)
    decision, event = decide_and_tell(project, alarms, NOW)
    assert (decision.action, event.kind) == ("no", "retrain not asked")
    assert decide_and_tell(project, alarms, NOW)[1] is None
    assert len(retrain_history("tiny").attempts) == 1


def test_without_a_release_there_is_nothing_to_tell_of(checkout):
    with pytest.raises(DataError, match="no release"):
        tell_of_serving("tiny", "alarm", "", cause="value drift")


def test_a_release_is_calibrated_on_the_predictions_of_its_evaluation(checkout):
    draws = np.random.default_rng(1)
    score = draws.uniform(size=3000).astype(np.float32)
    with store.new_file("predictions.parquet") as draft:
        rows = {"__row__": range(3000), "label": draws.random(3000) < score**2, "score": score}
        pl.DataFrame(rows).write_parquet(draft.path)
    nothing = store.put_json({}, "nothing.json")
    evaluation = Evaluation(model="m", metrics=nothing, curves=nothing, predictions=draft.ref, headline="")
    found = calibrations(evaluation)
    assert found.fitted(np.array([0.5]))[0] == pytest.approx(0.25, abs=0.05)
    assert (found.fitted.rows, len(found.resamples)) == (3000, 20)
    store.locate(draft.ref).unlink()
    assert calibrations(evaluation) == found  # fitted once
