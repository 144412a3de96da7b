"""Days, weeks and months are made of windows, each once, when they are over."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from penstock.collected import Collected, Counts, Segment, day_of
from penstock.errors import StorageError
from penstock.merged import days_of, finished, name_of
from penstock.sketch import number_summary
from penstock.window import Reference
from tasks.data.project import load_project
from tasks.monitoring import merging
from tasks.monitoring.collected_store import append_window, newest_windows, windows_since
from tasks.monitoring.merging import merge_profiles, merged_periods
from tasks.monitoring.summaries import summaries, window_profile
from tasks.store import store

START = datetime(2025, 6, 26, tzinfo=UTC)  # a Thursday
ROWS = 600


@pytest.fixture
def project(checkout, monkeypatch):
    column = number_summary("size", np.random.default_rng(1).normal(10, 3, 5000))
    monkeypatch.setattr(
        merging, "training_reference", lambda project, release: Reference(name=release, columns=(column,))
    )
    return load_project("tiny")


def sizes(number: int, shift: float) -> np.ndarray:
    return np.random.default_rng(number).normal(10 + shift, 3, ROWS)


def segment(day: int) -> Segment:
    """Opened at the beginning of that day."""
    return Segment(model="tiny-v1", name=f"{int((START + timedelta(days=day)).timestamp() * 1e9)}-1.jsonl")


def serve(hours: float, shift: float = 0.0, segments=()) -> Collected:
    until = int((START + timedelta(hours=hours)).timestamp() * 1e9)
    before = next(newest_windows("tiny"), None)
    number = before.number + 1 if before else 1
    with store.new_file("window.bin") as draft:
        draft.path.write_bytes(window_profile(pl.DataFrame({"size": sizes(number, shift)})))
    window = Collected(
        number=number, project="tiny", closed=(START + timedelta(hours=hours)).isoformat(), since=until - 10**9,
        until=until, segments=segments, rows=None, profile=draft.ref, counts=Counts(requests=ROWS, rows=ROWS),
        models={"tiny-v1": ROWS}, day=day_of(until, before),
    )  # fmt: skip
    append_window(window)
    return window


def test_every_window_is_in_one_finished_day_week_and_month(project):
    made = []
    for hours in range(0, 24 * 45, 8):
        serve(hours, shift=6 if hours >= 24 * 30 else 0)
        made += merge_profiles(project)
    days, weeks, months = ([one for one in made if one.span == span] for span in ("day", "week", "month"))
    assert [day.name for day in days] == [(START + timedelta(days=n)).date().isoformat() for n in range(44)]
    assert [number for day in days for number in day.windows] == list(range(1, 44 * 3 + 1))
    assert [week.name for week in weeks] == [f"2025-W{n}" for n in range(26, 32)]
    assert [len(week.windows) for week in weeks] == [4 * 3, *[7 * 3] * 5]
    assert [(month.name, len(month.windows), month.rows) for month in months] == [
        ("2025-06", 15, 15 * ROWS), ("2025-07", 93, 93 * ROWS),
    ]  # fmt: skip
    (size,) = summaries(store.read_bytes(months[1].profile))
    values = np.concatenate(
        [np.random.default_rng(n).normal(10 + (6 if (n - 1) * 8 >= 720 else 0), 3, ROWS) for n in range(16, 109)]
    )
    assert (size.rows, size.mean) == (len(values), pytest.approx(values.mean()))
    assert not months[0].verdict.reasons and days[-1].verdict.reasons["value"]
    assert [one for one in merged_periods("tiny") if one.span == "month"] == months


def test_what_is_read_does_not_grow_with_the_days_there_were(project, monkeypatch):
    reads = []
    read = store.read_bytes
    monkeypatch.setattr(store, "read_bytes", lambda ref: reads.append(ref.name) or read(ref))
    per_run = []
    for day in range(12):
        serve(24 * day + 1)
        reads.clear()
        merge_profiles(project)
        per_run.append(reads.count("window.bin"))
    assert per_run == [0, *[1] * 11]


def test_a_window_that_ends_before_an_earlier_one_did_counts_on_its_day(project):
    serve(20)
    serve(30)
    late = serve(22)
    assert late.day == "2025-06-27"
    serve(50)
    assert [day.windows for day in merge_profiles(project)] == [(1,), (2, 3)]


def test_a_merge_that_was_killed_is_made_up_for(project, monkeypatch):
    for hours in (1, 25, 49):
        serve(hours)
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_atomic", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            merge_profiles(project)
    assert [day.windows for day in merge_profiles(project)] == [(1,), (2,)]
    assert merge_profiles(project) == []


def test_names_and_days_agree_over_years():
    days = [(START + timedelta(days=n)).date().isoformat() for n in range(800)]
    for span in ("week", "month"):
        names = finished(days, "2099-01-01", span)
        assert [day for name in names for day in days_of(name, span) if day in set(days)] == days
        assert all(name_of(day, span) == name for name in names for day in days_of(name, span))
        assert names == [name for name, _ in itertools.groupby(name_of(day, span) for day in days)]


def test_windows_are_read_back_to_the_oldest_segment_and_no_further(project, checkout):
    for day in range(30):
        serve(24 * day + 1, segments=(segment(day),))
    assert [window.number for window in windows_since("tiny", [segment(20)])] == list(range(20, 31))  # and one of slack
    assert [window.number for window in windows_since("tiny", [])] == [30]
    (checkout.home / "monitor" / "tiny" / "000003.json").unlink()
    with pytest.raises(StorageError, match="missing"):
        windows_since("tiny", [segment(20)])
