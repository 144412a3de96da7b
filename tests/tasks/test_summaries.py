"""Summaries of whylogs profiles are those of the rows, within what the sketches promise."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from penstock.candidate import Candidate
from penstock.distances import kolmogorov_smirnov
from penstock.drift import compare
from penstock.errors import StorageError
from penstock.monitor_config import MonitorConfig
from penstock.sketch import category_summary, number_summary, shares
from tasks.data.profiling import profile_splits
from tasks.monitoring.summaries import merged_profiles, reference, summaries, window_profile
from tasks.store import store
from tests.trained import Trained


def frame(rows: int = 20_000, seed: int = 5) -> pl.DataFrame:
    draws = np.random.default_rng(seed)
    made = pl.DataFrame(
        {
            "size": draws.normal(10, 3, rows).astype(np.float32),
            "steps": pl.Series(draws.integers(0, 20, rows), dtype=pl.Int16),
            "color": draws.choice(["rot", "grün", "</script><script>"], rows, p=[0.6, 0.3, 0.1]),
            "late": draws.uniform(size=rows) < 0.25,
            "when": pl.Series([0] * rows).cast(pl.Datetime),
        }
    )
    return made.with_columns(pl.when(pl.int_range(pl.len()) % 10 == 0).then(None).otherwise("size").alias("size"))


ROWS = frame()
FOUND = {column.name: column for column in summaries(window_profile(ROWS))}


@pytest.mark.parametrize("name", ["size", "steps"])
def test_numbers_are_those_of_the_rows_within_the_rank_error(name):
    values = ROWS[name].cast(pl.Float64).drop_nulls().to_numpy()
    exact, found = number_summary(name, values, ROWS[name].null_count()), FOUND[name]
    assert (found.rows, found.nulls, found.numbers, found.types) == (20_000, exact.nulls, exact.numbers, exact.types)
    assert (found.points[0], found.points[-1]) == (exact.points[0], exact.points[-1])
    assert (found.mean, found.deviation) == pytest.approx((exact.mean, exact.deviation), rel=1e-6)
    at = np.array(exact.points)
    for mine, theirs in zip(shares(found, at), shares(exact, at), strict=True):
        assert np.abs(mine - theirs).max() <= found.rank_error + exact.rank_error
    assert kolmogorov_smirnov(found, exact) <= found.rank_error + exact.rank_error < 0.01


def test_a_small_window_has_no_sketch_error():
    some = summaries(window_profile(ROWS[:500].select("steps")))[0]
    exact = number_summary("steps", ROWS["steps"][:500].to_numpy())
    assert (some.points, some.below, some.upto, some.rank_error) == (exact.points, exact.below, exact.upto, 0)


def test_texts_and_booleans_are_counted_exactly():
    for name, kind in (("color", "text"), ("late", "boolean")):
        counts = ROWS[name].cast(pl.String).str.replace("true", "True").str.replace("false", "False").value_counts()
        assert FOUND[name] == category_summary(name, dict(counts.iter_rows()), kind=kind)
    assert FOUND["when"].type == "other"


def test_known_categories_are_listed_even_if_they_never_came():
    found = {one.name: one for one in summaries(window_profile(ROWS), {"color": ["rot", "blau"]})}
    assert dict(found["color"].levels)["blau"] == 0 and dict(found["color"].levels)["rot"] > 0


def test_more_categories_than_the_sketch_holds_are_unlisted_not_lost():
    many = pl.DataFrame({"id": [f"id {number}" for number in range(5000)]})
    found = summaries(window_profile(many))[0]
    assert found.values == 5000 and found.unlisted > 0


def test_days_merge_into_a_week():
    days = [frame(3000, seed) for seed in range(7)]
    week = {one.name: one for one in summaries(merged_profiles(map(window_profile, days)))}
    whole = {one.name: one for one in summaries(window_profile(pl.concat(days)))}
    for name, one in week.items():
        assert (one.rows, one.nulls, one.types, one.levels) == (whole[name].rows, whole[name].nulls, whole[name].types,
                                                                whole[name].levels)  # fmt: skip
    error = week["size"].rank_error + whole["size"].rank_error
    assert kolmogorov_smirnov(week["size"], whole["size"]) <= error < 0.02
    with pytest.raises(ValueError, match="no profile"):
        merged_profiles([])


def test_a_column_whose_type_changes_between_merged_windows_has_both():
    text = ROWS[:100].with_columns(pl.col("steps").cast(pl.String))
    merged = merged_profiles([window_profile(ROWS), window_profile(text)])
    steps = next(one for one in summaries(merged) if one.name == "steps")
    assert steps.type == "number" and dict(steps.types) == {"number": 20_000, "text": 100}
    assert steps.numbers == 20_000


def test_empty_and_all_null_columns_are_nothing():
    empty = summaries(window_profile(ROWS.clear()))
    assert all(one.rows == 0 and one.type is None and one.values == 0 for one in empty)
    nulls = pl.DataFrame({"size": [None] * 50, "color": [None] * 50}, {"size": pl.Float32, "color": pl.String})
    assert [(one.rows, one.nulls, one.values) for one in summaries(window_profile(nulls))] == [(50, 50, 0)] * 2


def test_a_shift_is_seen_through_profiles_and_its_clean_twin_is_not():
    clean, moved = frame(2000, 8), frame(2000, 8).with_columns(pl.col("size") + 1)
    verdicts = [
        compare(FOUND["size"], next(one for one in summaries(window_profile(rows)) if one.name == "size"),
                MonitorConfig(), 1e-3)
        for rows in (clean, moved)
    ]  # fmt: skip
    assert [verdict.alarm for verdict in verdicts] == [False, True]


def test_a_releases_reference_is_what_it_was_trained_and_tested_on(checkout, monkeypatch):
    checkout.change(serve={"log": {"drop": ["seats"], "hash": ["wet"]}})
    trained = Trained(monkeypatch)
    project = trained.project
    candidate = Candidate.model_construct(
        splits=trained.splits,
        profiles=profile_splits(trained.splits, project.features),
        evaluation=trained.evaluation,
    )
    found = reference(candidate, project, "tiny-v1", allowed=("note",))
    assert found.name == "tiny-v1"
    assert [column.name for column in found.columns] == ["color", "size"]
    assert found.columns[0].rows == trained.splits.rows[0]
    assert found.predictions.numbers == trained.splits.rows[2]
    assert {"late", "at", "seats", "note"} <= set(found.allowed)
    known = store.read_json(trained.splits.categories)["color"]
    assert {name for name, _ in found.columns[0].levels} >= set(known)
    store.locate(candidate.evaluation.predictions).unlink()
    with pytest.raises(StorageError):
        reference(candidate, project, "tiny-v1")


def test_numbers_too_large_for_float32_or_for_a_variance_are_still_finite():
    huge = pl.DataFrame({"x": [1e300, -1e300, 1.0, float("inf"), None]})
    found = summaries(merged_profiles([window_profile(huge), window_profile(huge)]))[0]
    assert (found.rows, found.nulls, found.numbers, dict(found.types)["number"]) == (10, 2, 6, 8)
    assert np.isfinite([*found.points, found.mean, found.deviation]).all()
