"""Scores are computed where something is new, from what belongs to it, and nothing is counted twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from penstock.errors import StorageError
from tasks.data.project import load_project
from tasks.monitoring import score_store, scoring
from tasks.monitoring.label_sources import LabelSource
from tasks.monitoring.labelling import record_labels
from tasks.monitoring.score_store import live_quality, stored_periods, stored_scores
from tasks.monitoring.scoring import score_periods
from tasks.store import store
from tests.served import serve_rows

FIRST = datetime(2025, 1, 6, 12, tzinfo=UTC)  # a Monday
ROWS = 120


@pytest.fixture
def project(checkout):
    checkout.change(labels={"by": "keys", "key_columns": ["id"]})
    return load_project("tiny")


def serve(week: int, again: int = 0, rows: int = ROWS) -> None:
    """A window of one week's predictions about its own ids. ``again``: the hour it is served later."""
    moment = FIRST + timedelta(weeks=week, hours=again)
    score = np.random.default_rng(week).uniform(size=rows).astype(np.float32)
    serve_rows("tiny", {
        "request_id": [f"w{week}-{again}-{n}" for n in range(rows)], "row": [0] * rows,
        "time_ns": [int(moment.timestamp() * 1e9)] * rows, "model": ["tiny-v1"] * rows,
        "environment": ["production"] * rows, "score": score, "decision": score >= 0.5,
        "id": [f"w{week}-{n}" for n in range(rows)], "color": ["red", "blue"] * (rows // 2),
    })  # fmt: skip


def label(checkout, project, *weeks: int, turned: bool = False) -> None:
    ids = [f"w{week}-{n}" for week in weeks for n in range(ROWS)]
    path = checkout.root / "labels.csv"
    pl.DataFrame({"id": ids, "late": [(n % 3 == 0) ^ turned for n in range(len(ids))]}).write_csv(path)
    record_labels(project, LabelSource(file=str(path)))


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The files of served rows that are read from here on."""
    found: list[str] = []
    locate = store.locate
    monkeypatch.setattr(store, "locate", lambda ref: found.append(ref.name) or locate(ref))
    return found


@pytest.mark.parametrize("weeks", [2, 20])
def test_what_a_run_reads_does_not_grow_with_what_there_was(checkout, project, read, weeks):
    for week in range(weeks):
        serve(week)
    label(checkout, project, *range(weeks))
    assert len(score_periods(project)) == weeks
    read.clear()
    assert score_periods(project) == [] and read == []
    serve(weeks)
    read.clear()
    assert len(score_periods(project)) == 1
    assert read.count("served.parquet") == 2  # once to see which periods it has rows of, once to score them
    read.clear()
    assert len(stored_scores(project)) == weeks + 1 and read == []  # and status reads scores alone


def test_a_later_window_of_a_period_joins_the_earlier_and_a_key_counts_once(checkout, project):
    serve(0)
    label(checkout, project, 0)
    score_periods(project)
    serve(0, again=3)  # the same ids, predicted again
    serve(1)
    assert score_periods(project) == ["2025-W02", "2025-W03"]
    first, second = stored_periods(project)
    assert (first.windows, first.coverage.served, first.coverage.labelled) == ((1, 2), ROWS, ROWS)
    assert (second.windows, second.coverage.served, second.coverage.labelled) == ((3,), ROWS, 0)
    assert live_quality(project).coverage.period == "2025-W02"  # the newest that has a metric


def test_labels_of_two_weeks_score_those_two_and_corrections_once_more(checkout, project):
    for week in range(4):
        serve(week)
    score_periods(project)
    label(checkout, project, 1, 3)
    assert score_periods(project) == ["2025-W03", "2025-W05"]
    before = stored_scores(project)
    label(checkout, project, 3, turned=True)
    assert score_periods(project) == ["2025-W05"]
    after = stored_scores(project)
    assert after[:3] == before[:3] and after[3].positives != before[3].positives
    assert after[3].rows == ROWS


@pytest.mark.parametrize("survives", [0, 1, 2, 3])
def test_scores_are_right_wherever_their_computation_is_killed(checkout, project, monkeypatch, survives):
    """``survives``: how many files are written before the kill."""
    serve(0)
    label(checkout, project, 0)
    score_periods(project)
    serve(0, again=1)
    serve(1)
    label(checkout, project, 1)
    writes = []

    def killed(path, content):
        if len(writes) == survives:
            raise KeyboardInterrupt
        writes.append(path)
        whole(path, content)

    whole = score_store._write
    with monkeypatch.context() as patch:
        patch.setattr(score_store, "_write", killed)
        if survives < 3:
            with pytest.raises(KeyboardInterrupt):
                score_periods(project)
        else:
            score_periods(project)
    score_periods(project)
    assert [one.coverage.labelled for one in stored_periods(project)] == [ROWS, ROWS]
    assert [one.coverage.served for one in stored_periods(project)] == [ROWS, ROWS]
    assert [one.rows for one in stored_scores(project)] == [ROWS, ROWS]


def test_scores_that_were_lost_are_computed_again_and_damaged_ones_are_named(checkout, project):
    for week in range(3):
        serve(week)
    label(checkout, project, 0)
    score_periods(project)
    before = stored_scores(project)
    (path,) = (checkout.home / "scores").rglob("2025-W03.json")
    path.write_text("{")
    with pytest.raises(StorageError) as caught:
        stored_scores(project)
    assert str(path) == caught.value.where
    path.unlink()
    assert len(score_periods(project)) == 3
    assert stored_scores(project) == before


def test_another_way_to_find_predictions_is_another_set_of_scores_and_the_first_is_kept(checkout, project):
    serve(0)
    score_periods(project)
    checkout.change(labels={"period": "month"})
    other = load_project("tiny")
    assert stored_scores(other) == []
    assert score_periods(other) == ["2025-01"]
    checkout.change(labels={"period": "week", "min_coverage": 0.1})
    assert score_periods(load_project("tiny")) == []


def test_one_period_is_scored_by_one_process_at_a_time(project, monkeypatch):
    serve(0)
    held = []
    scored = scoring._score
    monkeypatch.setattr(scoring, "_score", lambda *given: held.append(_is_held()) or scored(*given))
    score_periods(project)
    assert held == [True] and not _is_held()


def _is_held() -> bool:
    from tasks.store import locks

    with locks.tried("scores-tiny") as free:
        return not free
