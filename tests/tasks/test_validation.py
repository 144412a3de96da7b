"""Validation of batches and of datasets: every defect is found, and only it."""

from __future__ import annotations

import hashlib
import math

import polars as pl
import pytest

from penstock.config import DataConfig
from penstock.errors import ConfigError, DataError
from penstock.refs import DataFile, Dataset
from tasks.data.data import data_path
from tasks.data.project import load_project, schema_text
from tasks.data.sources import load_source
from tasks.data.validation import check_batch, validate_dataset
from tasks.store import store

# --- batches ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def rows(checkout) -> pl.DataFrame:
    return load_source(load_project("tiny")).read("b1").rows


def check(frame: pl.DataFrame, **data):
    project = load_project("tiny")
    return check_batch(frame, schema_text(project), project.data.model_copy(update=data), "tiny, batch b1")


def at(frame: pl.DataFrame, column: str, value, *positions: int) -> pl.DataFrame:
    chosen = pl.int_range(pl.len()).is_in(positions)
    return frame.with_columns(
        pl.when(chosen).then(pl.lit(value)).otherwise(column).cast(frame.schema[column]).alias(column)
    )


def test_a_clean_batch_passes_untouched(rows):
    found = check(rows)
    assert found.good.equals(rows)
    assert found.bad.is_empty()
    assert found.report == {"rows": 500, "invalid": 0, "checks": [], "warnings": []}


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("size", 100.5, "size: in_range(0, 100)"),
        ("size", -0.5, "size: in_range(0, 100)"),
        ("size", math.inf, "size: a finite number"),
        ("size", math.nan, "size: must not be null"),
        ("color", "mauve", "color: isin("),
        ("color", None, "color: must not be null"),
        ("late", None, "late: must not be null"),
        ("at", None, "at: must not be null"),
        ("id", "b1-7", "id: unique"),
    ],
)
def test_a_bad_value_sets_its_row_aside_and_no_other(rows, column, value, why):
    found = check(at(rows, column, value, 20))
    assert found.bad.height == 1
    assert found.bad["why"][0].startswith(why)
    assert found.good.height == 499
    assert found.bad["size"].is_nan().not_().all() or column != "size"


def test_a_nullable_column_may_be_null_and_nan_becomes_null(rows):
    assert check(at(rows, "seats", None, 1, 2, 3)).bad.is_empty()


def test_nan_is_null_in_what_is_returned(rows):
    text = "columns:\n  x: {dtype: Float64, nullable: true}\n"
    frame = pl.DataFrame({"x": [1.0, math.nan, None]})
    found = check_batch(frame, text, DataConfig(source="a:b", path="data/x"), "x")
    assert found.good["x"].to_list() == [1.0, None, None]


def test_reasons_of_one_row_are_joined(rows):
    frame = at(at(rows, "size", 999.0, 5), "color", "mauve", 5)
    (why,) = check(frame).bad["why"]
    assert "color: isin" in why
    assert "size: in_range" in why


def test_the_first_of_equals_is_valid(rows):
    found = check(pl.concat([rows, rows[3:5]]))
    assert found.good.equals(rows)
    assert found.bad["id"].to_list() == ["b1-3", "b1-4"]


def test_bad_rows_keep_their_order_and_every_reason(rows):
    frame = at(at(at(rows, "late", None, 499, 0, 250), "size", -1.0, 250), "color", "mauve", 7)
    bad = check(frame).bad
    assert bad["id"].to_list() == ["b1-0", "b1-7", "b1-250", "b1-499"]
    assert bad.columns == [*rows.columns, "why"]
    assert [why.split(":")[0] for why in bad["why"]] == ["late", "color", "size", "late"]
    assert sorted(part.split(":")[0] for part in bad["why"][2].split("; ")) == ["late", "size"]


def test_a_refused_value_that_is_the_word_null_is_not_a_null():
    text = "columns:\n  x: {dtype: String, isin: ['null']}\n"
    lax = DataConfig(source="a:b", path="data/x", max_invalid_fraction=1)
    assert check_batch(pl.DataFrame({"x": ["null", "y"]}), text, lax, "x").bad["why"].to_list() == ["x: isin(['null'])"]


def test_a_column_may_be_called_row():
    text = "columns:\n  row: {dtype: Int64, le: 5}\n"
    lax = DataConfig(source="a:b", path="data/x", max_invalid_fraction=1)
    assert check_batch(pl.DataFrame({"row": [1, 9]}), text, lax, "x").bad["row"].to_list() == [9]


@pytest.mark.parametrize("column", ["why", "__row__"])
def test_a_column_may_not_be_called_as_one_that_is_added(column):
    lax = DataConfig(source="a:b", path="data/x", max_invalid_fraction=1)
    with pytest.raises(ConfigError, match=f"No column may be called `{column}`"):
        check_batch(pl.DataFrame({column: [1]}), f"columns:\n  {column}: {{dtype: Int64}}\n", lax, "x")


def test_an_empty_batch_is_an_error(rows):
    with pytest.raises(DataError, match="no rows"):
        check(rows.clear())
    assert check(rows[:1]).good.height == 1


def test_one_invalid_row_refuses_the_batch_where_the_policy_is_fail(rows):
    assert check(rows, on_invalid="fail").good.height == 500
    with pytest.raises(DataError) as caught:
        check(at(rows, "size", 999.0, 5), on_invalid="fail")
    assert "1 of 500 rows" in caught.value.what
    assert caught.value.where == "tiny, batch b1"


def test_the_share_of_invalid_rows_is_compared_without_a_rounding_error(rows):
    """0.29 * 100 is less than 29 in floating point."""
    assert check(at(rows[:100], "size", 999.0, *range(29)), max_invalid_fraction=0.29).bad.height == 29
    with pytest.raises(DataError, match="30 of 100"):
        check(at(rows[:100], "size", 999.0, *range(30)), max_invalid_fraction=0.29)


def test_too_many_invalid_rows_refuse_the_batch_whatever_the_policy(rows):
    assert check(at(rows, "size", 999.0, *range(25))).bad.height == 25  # 5 %: the limit itself
    with pytest.raises(DataError) as caught:
        check(at(rows, "size", 999.0, *range(26)))
    assert "26 of 500 rows (5.2%)" in caught.value.what
    assert "size: in_range(0, 100), 26 rows, such as 999.0" in caught.value.found


@pytest.mark.parametrize("act", ["warn", "error"])
def test_outliers_warn_or_are_set_aside(rows, act):
    wide = rows.with_columns(pl.col("seats").cast(pl.Int16))
    wild = at(wide, "seats", 499, 8).with_columns(
        seats=pl.when(pl.col("id") == "b1-8").then(499).otherwise(pl.col("seats") % 5).cast(pl.Int16)
    )
    found = check(wild, outliers={"seats": act})
    if act == "warn":
        assert found.bad.is_empty()
        assert found.report["warnings"][0].startswith("seats: 1 outside")
    else:
        assert found.bad["id"].to_list() == ["b1-8"]
        assert "seats: outlier" in found.bad["why"][0]
    assert check(rows, outliers={"seats": act}).report["warnings"] == []


def test_a_column_without_spread_has_no_outliers(rows):
    flat = rows.with_columns(seats=pl.when(pl.col("id") == "b1-8").then(499).otherwise(1).cast(pl.Int16))
    assert check(flat, outliers={"seats": "error"}).bad.is_empty()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop("wet"), "missing: wet"),
        (lambda frame: frame.with_columns(extra=1), "not in the schema: extra"),
        (lambda frame: frame.with_columns(pl.col("seats").cast(pl.Int64)), "seats is Int64, not Int16"),
        (lambda frame: frame.with_columns(pl.col("late").cast(pl.Int8)), "late is Int8, not Boolean"),
    ],
)
def test_wrong_columns_stop_the_run(rows, change, said):
    with pytest.raises(DataError) as caught:
        check(change(rows))
    assert said in caught.value.found


# --- datasets --------------------------------------------------------------------------------------------------------


@pytest.fixture
def dataset(checkout):
    """A function that makes a dataset of frames: each where DVC's cache would have it."""

    def make(*frames: pl.DataFrame) -> Dataset:
        files = []
        for number, frame in enumerate(frames):
            draft = checkout.root / "part.parquet"
            frame.write_parquet(draft)
            md5 = hashlib.md5(draft.read_bytes()).hexdigest()
            file = DataFile(path=f"p{number}.parquet", md5=md5, size=draft.stat().st_size)
            data_path(file).parent.mkdir(parents=True, exist_ok=True)
            draft.rename(data_path(file))
            files.append(file)
        return Dataset(path="data/tiny", version="1", files=tuple(files))

    return make


def validate(dataset: Dataset, **data):
    project = load_project("tiny")
    return validate_dataset(dataset, schema_text(project), project.data.model_copy(update=data))


def test_a_clean_dataset_excludes_nothing(dataset, rows):
    checked = validate(dataset(rows[:200], rows[200:]))
    assert (checked.rows, checked.invalid, checked.excluded) == (500, 0, None)


def test_exactly_the_invalid_rows_are_excluded_by_file_and_position(dataset, rows, monkeypatch):
    monkeypatch.setattr("tasks.data.validation_pieces.CHUNK", 64)  # several chunks, so that positions have to add up
    checked = validate(dataset(at(rows[:200], "size", 999.0, 150), at(rows[200:], "late", None, 7, 299)))
    assert checked.invalid == 3
    excluded = pl.read_parquet(store.locate(checked.excluded))
    assert excluded.rows() == [("p0.parquet", 150), ("p1.parquet", 7), ("p1.parquet", 299)]


def test_a_key_that_repeats_in_another_file_is_found(dataset, rows):
    checked = validate(dataset(rows[:200], rows[190:]))
    excluded = pl.read_parquet(store.locate(checked.excluded))
    assert excluded.rows() == [("p1.parquet", number) for number in range(10)]


def test_a_dataset_of_no_rows_is_an_error(dataset, rows):
    with pytest.raises(DataError, match="no rows"):
        validate(dataset(rows.clear()))


def test_too_many_invalid_rows_in_all_files_refuse_the_dataset(dataset, rows):
    parts = [at(rows[:200], "size", 999.0, *range(20)), at(rows[200:], "size", 999.0, *range(5))]
    assert validate(dataset(*parts)).invalid == 25  # 10 % of the first file, but 5 % of the rows
    with pytest.raises(DataError, match="26 of 500 rows"):
        validate(dataset(parts[0], at(rows[200:], "size", 999.0, *range(6))))
    with pytest.raises(DataError, match="25 of 500 rows"):
        validate(dataset(*parts), on_invalid="fail")


def test_a_file_with_another_column_is_named(dataset, rows):
    with pytest.raises(DataError) as caught:
        validate(dataset(rows[:200], rows[200:].drop("wet")))
    assert caught.value.where == "data/tiny/p1.parquet"
    assert "missing: wet" in caught.value.found


def test_outliers_are_judged_file_by_file(dataset, rows):
    wild = rows.with_columns(seats=(pl.int_range(pl.len()) % 5).cast(pl.Int16))
    checked = validate(dataset(wild[:200], at(wild[200:], "seats", 499, 3)), outliers={"seats": "error"})
    assert pl.read_parquet(store.locate(checked.excluded)).rows() == [("p1.parquet", 3)]
    (found,) = store.read_json(checked.report)["checks"]
    assert (found["column"], found["failed"], found["examples"]) == ("seats", 1, ["499"])


def test_a_row_that_breaks_two_rules_is_excluded_once(dataset, rows):
    twice = pl.concat([rows, at(rows[:1], "size", 999.0, 0)])
    checked = validate(dataset(twice))
    assert checked.invalid == 1
    assert pl.read_parquet(store.locate(checked.excluded)).rows() == [("p0.parquet", 500)]
