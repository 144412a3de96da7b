"""Profiles are what whylogs itself would have made of the same rows, and read back as such."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from penstock.config import FeaturesConfig
from penstock.refs import Splits
from tasks.data.profiling import profile_frame, profile_splits
from tasks.data.whylogs_profile import merged, profile, summary
from tasks.store import store


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


def test_a_profile_of_each_split_is_stored_without_the_rows_own_number(checkout, rows):
    numbered = rows.with_row_index("__row__")
    parts = {"train": numbered[:3000], "validation": numbered[3000:], "test": numbered.clear()}
    refs = {}
    for name, part in parts.items():
        with store.new_file(f"{name}.parquet") as draft:
            part.write_parquet(draft.path, row_group_size=700)
        refs[name] = draft.ref
    other = store.put_json({}, "other.json")
    splits = Splits(**refs, categories=other, summary=other, rows=(3000, 1000, 0))
    features = FeaturesConfig(label="late", categorical=("color",), numeric=("size", "count", "big"))
    profiles = profile_splits(splits, features)

    from whylogs.core.view.dataset_profile_view import DatasetProfileView

    found = store.read_json(profiles.summary)
    for name, ref in (("train", profiles.train), ("validation", profiles.validation), ("test", profiles.test)):
        assert ref.name == f"profile-{name}.bin"
        assert summary(DatasetProfileView.read(str(store.locate(ref)))) == found[name]
        assert set(found[name]) == {"color", "size", "count", "big", "late"}
        assert found[name]["size"]["rows"] == len(parts[name])
    assert dict(found["train"]["late"]["top"])["True"] == int(parts["train"]["late"].sum())
    assert found["test"]["size"] == {"rows": 0, "nulls": 0, "type": "empty", "distinct": 0}


def test_frequent_items_and_types_are_those_of_whylogs(rows):
    mine = profile(rows).to_pandas()
    import whylogs as why

    theirs = why.log(rows.to_pandas()).view().to_pandas()

    def items(table, column: str) -> dict[str, float]:
        return {item.value: item.est for item in table.loc[column, "frequent_items/frequent_strings"]}

    assert items(mine, "count") == items(theirs, "count")
    for column in ("color", "count", "big", "size", "late"):
        for kind in ("integral", "fractional", "boolean", "string"):
            assert mine.loc[column, f"types/{kind}"] == theirs.loc[column, f"types/{kind}"], (column, kind)
    assert mine.loc["big", "ints/max"] == theirs.loc["big", "ints/max"] == rows["big"].max()


def test_integers_beyond_what_whylogs_holds_are_still_counted():
    values = pl.Series("n", [2**64 - 1, 2**63, 7, None], dtype=pl.UInt64)
    found = summary(profile(values.to_frame()))["n"]
    assert (found["rows"], found["nulls"], found["distinct"]) == (4, 1, 3)
    assert (found["min"], found["max"]) == (7, float(2**64 - 1))


def test_a_bool_that_is_never_true_and_a_text_longer_than_whylogs_keeps():
    frame = pl.DataFrame({"late": [False, False, None], "note": ["ü" * 500, "ü" * 500, "x"]})
    found = summary(profile(frame))
    assert (found["late"]["top"], found["late"]["nulls"], found["late"]["mean"]) == ([["False", 2]], 1, 0.0)
    assert found["note"]["top"][0] == ["ü" * 128, 2]
