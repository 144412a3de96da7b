"""Served rows beside a candidate's training rows, by real profiles: planted faults, and their clean twin."""

from __future__ import annotations

import polars as pl
import pytest

from penstock.candidate import Champion
from penstock.collected import Collected, Counts
from penstock.release_config import LogConfig
from penstock.skew import skew_checks
from tasks.data.profiling import profile_splits
from tasks.monitoring.collected_store import append_window
from tasks.monitoring.skewing import compare_serving, find_served
from tasks.monitoring.summaries import window_profile
from tasks.store import store
from tests.trained import Trained


@pytest.fixture
def trained(checkout, monkeypatch) -> Trained:
    return Trained(monkeypatch)


def window(rows: pl.DataFrame, number: int = 1, release: str = "tiny-v1", **changes) -> Collected:
    ref = store.put_bytes(window_profile(rows), "profile.bin")
    counts = Counts(requests=rows.height, rows=rows.height)
    facts = {"since": 10**18, "until": 10**18 + 10**12, "segments": (), "rows": ref, "profile": ref, "counts": counts}
    facts |= {"number": number, "project": "tiny", "closed": "2024-06-01T00:00:00+00:00", "models": {release: 5}}
    return Collected(**{**facts, **changes})


def champion(trained: Trained, version: str = "tiny-v1") -> Champion:
    return Champion(version=version, model=trained.model, why="it serves production")


def served(trained: Trained, height: int = 400) -> pl.DataFrame:
    names = trained.project.features.names
    return pl.read_parquet(store.locate(trained.splits.test), columns=list(names)).head(height)


def compared(trained: Trained, rows: pl.DataFrame, features=None, log: LogConfig | None = None):
    project = trained.project
    features = features or project.features
    profiles = profile_splits(trained.splits, project.features)
    monitor = project.monitor.model_copy(update={"min_rows": 100})
    skew = compare_serving(
        profiles, trained.splits, window(rows), champion(trained), features, log or project.serve.log, monitor
    )
    [check] = skew_checks(skew)
    return skew, check


def test_rows_like_those_of_training_pass(trained):
    skew, check = compared(trained, served(trained))
    assert skew.faults == () and check.passed and "400 rows answered by tiny-v1" in check.note


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.drop("size"), "size: is missing"),
        (lambda rows: rows.rename({"size": "Size"}), "Size: is no field"),
        (lambda rows: rows.with_columns(pl.col("size").cast(pl.String)), "size: 400 text of 400 values"),
    ],
)
def test_other_fields_or_types_do_not(trained, change, said):
    _, check = compared(trained, change(served(trained)))
    assert not check.passed and said in check.note and "gate.serving_skew" in check.note


def test_drift_is_a_note(trained):
    skew, check = compared(trained, served(trained).with_columns(pl.col("size") + 60))
    assert skew.moved == ("size",) and check.passed and "values have drifted: size" in check.note


def test_too_few_rows_say_nothing(trained):
    _, check = compared(trained, served(trained, 50).drop("size"))
    assert check.passed and "too few rows" in check.note


def test_a_new_feature_and_one_that_is_not_logged_cannot_have_been_sent(trained):
    features = trained.project.features
    more = features.model_copy(update={"numeric": (*features.numeric, "weight")})
    assert compared(trained, served(trained), features=more)[1].passed
    assert compared(trained, served(trained).drop("size"), log=LogConfig(drop=("size",)))[1].passed


def test_the_newest_window_that_the_champion_answered_is_taken(trained):
    rows = served(trained)
    assert find_served("tiny", champion(trained)) is None
    append_window(window(rows, 1))
    append_window(window(rows, 2))
    append_window(window(rows, 3, "tiny-v2"))
    append_window(window(rows, 4, batch=True))
    append_window(window(rows, 5, profile=None))
    assert find_served("tiny", champion(trained)).number == 2
    assert find_served("tiny", None) is None and find_served("tiny", champion(trained, "tiny-v9")) is None
