"""Profiles are what whylogs itself would have made of the same rows, and read back as such."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from tasks.profiling import profile_frame
from tasks.whylogs_profile import merged, profile, summary


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    frame = pl.DataFrame(
        {
            "size": rng.normal(10, 3, 4000).astype(np.float32),
            "count": pl.Series(rng.integers(0, 300, 4000), dtype=pl.Int32),
            "big": pl.Series(rng.integers(2**40, 2**41, 4000), dtype=pl.Int64),
            "color": rng.choice(["rot", "grün", "青"], 4000),
            "late": rng.uniform(size=4000) < 0.25,
        }
    )
    return frame.with_columns(pl.when(pl.int_range(pl.len()) % 10 == 0).then(None).otherwise("size").alias("size"))


def test_it_is_what_whylogs_makes_of_the_same_rows(rows):
    mine = profile(rows).to_pandas()
    import whylogs as why

    theirs = why.log(rows.to_pandas()).view().to_pandas()
    same = [
        "counts/n",
        "counts/null",
        "distribution/min",
        "distribution/max",
        "distribution/mean",
        "distribution/stddev",
    ]
    for column in rows.columns:
        for metric in same if column not in ("color", "late") else same[:2]:
            assert mine.loc[column, metric] == pytest.approx(theirs.loc[column, metric], rel=1e-6), (column, metric)
        assert mine.loc[column, "cardinality/est"] == pytest.approx(theirs.loc[column, "cardinality/est"], rel=0.02)
    for metric in ("distribution/q_25", "distribution/median", "distribution/q_75"):
        spread = theirs.loc["size", "distribution/stddev"]
        assert mine.loc["size", metric] == pytest.approx(theirs.loc["size", metric], abs=0.05 * spread)
    assert str(mine.loc["color", "frequent_items/frequent_strings"]) == str(
        theirs.loc["color", "frequent_items/frequent_strings"]
    )


def test_halves_merged_are_the_whole(rows):
    whole, halves = summary(profile(rows)), summary(merged([rows[:1500], rows[1500:]]))
    for column, facts in whole.items():
        for key in {"rows", "nulls", "min", "max"} & set(facts):
            assert halves[column][key] == facts[key]
    assert halves["size"]["mean"] == pytest.approx(whole["size"]["mean"], rel=1e-6)
    assert halves["size"]["stddev"] == pytest.approx(whole["size"]["stddev"], rel=1e-4)
    assert halves["color"]["top"] == whole["color"]["top"]


def test_a_file_is_read_back_by_whylogs_own_reader(rows, tmp_path):
    found = profile_frame(rows, tmp_path / "p.bin")
    from whylogs.core.view.dataset_profile_view import DatasetProfileView

    back = DatasetProfileView.read(str(tmp_path / "p.bin"))
    assert summary(back) == found
    json.dumps(found, allow_nan=False)
    assert [path.name for path in tmp_path.iterdir()] == ["p.bin"]


def test_nan_is_a_null_and_a_column_of_nulls_has_no_numbers():
    frame = pl.DataFrame({
        "a": [1.0, float("nan"), None], "b": pl.Series([None, None, None], dtype=pl.Float32),
        "c": pl.Series([None, None, None], dtype=pl.String), "d": [float("inf"), 1.0, 2.0],
    })  # fmt: skip
    found = summary(profile(frame))
    assert (found["a"]["nulls"], found["a"]["min"], found["a"]["max"]) == (2, 1.0, 1.0)
    assert found["b"] == {"rows": 3, "nulls": 3, "type": "empty", "distinct": 0}
    assert found["c"]["nulls"] == 3
    assert found["d"]["max"] == 2.0


def test_an_empty_frame_and_an_integer_beyond_int32(rows):
    found = summary(profile(rows.clear()))
    assert found["size"]["rows"] == 0
    assert summary(profile(rows))["big"]["min"] >= 2**40


def test_a_shift_is_seen(rows):
    shifted = rows.with_columns(pl.col("size") + 4)
    assert summary(profile(shifted))["size"]["q50"] - summary(profile(rows))["size"]["q50"] == pytest.approx(4, abs=0.2)
