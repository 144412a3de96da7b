"""Validation of training data, and that the server's reader accepts and refuses exactly the same rows."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.config import DataConfig, FeaturesConfig, PackageConfig
from penstock.errors import DataError
from penstock.features import encode_frame
from penstock.fields import INTEGERS
from penstock.refs import DataFile, Dataset
from penstock.rows import RowErrors, RowReader
from penstock.schema import compile_spec, parse_schema
from tasks import store
from tasks.project import load_project, schema_text
from tasks.sources import load_source
from tasks.validation import check_batch, validate_dataset

LAX = DataConfig(source="a:b", path="data/x", max_invalid_fraction=1.0)


# --- one schema, two faces -------------------------------------------------------------------------------------------

NUMBERS = [*INTEGERS, "Float32", "Float64"]
FLOATS = [0.1, 0.30000001192092896, -0.0, 1.5, 99.99999, 100.0, 3.4e38, 1e39, math.inf, -math.inf, math.nan, None]
TEXTS = ["", "a", "ab", "abc", "ab\n", "é", "日本", "AB", None]


@st.composite
def columns(draw) -> dict:
    """One column of a schema file, and values for it around its bounds."""
    kind = draw(st.sampled_from([*NUMBERS, "Boolean", "String"]))
    column: dict = {"dtype": kind, "nullable": draw(st.booleans())}
    if kind == "String":
        rule = draw(st.sampled_from(["", "isin", "notin", "str_matches", "str_length"]))
        column |= {
            "": {},
            "isin": {"isin": ["a", "ab", "é"]},
            "notin": {"notin": ["abc", ""]},
            "str_matches": {"str_matches": draw(st.sampled_from(["^[a-z]{1,2}$", "^a|b$", "^.$"]))},
            "str_length": {"str_length": {"min_value": 1, "max_value": 2}},
        }[rule]
        values = st.sampled_from(TEXTS)
    elif kind == "Boolean":
        values = st.sampled_from([True, False, None])
    else:
        low = draw(st.sampled_from([0, 0.1, 1, 0.3]))
        rule = draw(st.sampled_from(["", "in_range", "ge", "gt", "le", "lt", "isin"]))
        flags = {"include_min": draw(st.booleans()), "include_max": draw(st.booleans())}
        column |= {
            "": {},
            "in_range": {"in_range": {"min_value": low, "max_value": 100, **flags}},
            "isin": {"isin": [0, 1, 100]},
        }.get(rule, {rule: low})
        if kind in INTEGERS:
            smallest, largest = INTEGERS[kind]
            values = st.sampled_from(
                [value for value in (-1, 0, 1, 2, 99, 100, 101) if smallest <= value <= largest] + [None]
            )
        else:
            values = st.sampled_from(FLOATS + ([1e300] if kind == "Float64" else []))
    return {"column": column, "values": draw(st.lists(values, min_size=12, max_size=12))}


def as_row(row: dict) -> dict:
    """A row as a client would send it: NaN in a frame means null."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.lists(columns(), min_size=1, max_size=4))
def test_training_and_serving_accept_and_refuse_the_same_rows(parts):
    named = {f"c{number}": part for number, part in enumerate(parts)}
    schema = {"columns": {name: part["column"] for name, part in named.items()} | {"late": {"dtype": "Boolean"}}}
    import yaml

    text = yaml.safe_dump(schema)
    kinds = {name: getattr(pl, part["column"]["dtype"]) for name, part in named.items()}
    data = {name: pl.Series(part["values"], dtype=kinds[name], strict=False) for name, part in named.items()}
    frame = pl.DataFrame(data).with_columns(late=pl.int_range(pl.len()) % 2 == 0).with_row_index("n")
    bad = set((check_batch(frame.drop("n"), text, LAX, "x").bad.is_empty() and []) or _bad_rows(frame, text))

    texts = tuple(name for name, part in named.items() if part["column"]["dtype"] == "String")
    features = FeaturesConfig(
        label="late", categorical=texts, numeric=tuple(name for name in named if name not in texts)
    )
    categories = {name: sorted(frame[name].drop_nulls().unique()) for name in texts}
    spec = compile_spec(parse_schema(text, "s.yaml"), features, categories, PackageConfig(purpose="x"))
    reader = RowReader(spec)
    refused, accepted = set(), []
    rows = [as_row(row) for row in frame.drop("n", "late").to_dicts()]
    for number, row in enumerate(rows):
        try:
            accepted.append((number, reader.read([row]).matrix))
        except RowErrors:
            refused.add(number)
    assert refused == bad

    good = [number for number, _ in accepted]
    if good:  # what is accepted is encoded as training encodes it, alone and together
        expected = encode_frame(
            frame[good].with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None)), features, categories
        )
        codes = [pl.col(name).to_physical() for name in texts]
        wanted = expected.with_columns(codes).cast(pl.Float32).to_numpy()
        import numpy as np

        np.testing.assert_array_equal(np.concatenate([matrix for _, matrix in accepted]), wanted)
        np.testing.assert_array_equal(reader.read([rows[number] for number in good]).matrix, wanted)


def _bad_rows(frame: pl.DataFrame, text: str) -> set[int]:
    """The numbers of the rows that validation refuses: the batch's own word, and each row's by itself."""
    whole = check_batch(frame.drop("n"), text, LAX, "x")
    alone = {n for n in range(frame.height) if check_batch(frame[n].drop("n"), text, LAX, "x").bad.height}
    assert whole.bad.height == len(alone)
    return alone


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


def test_reasons_of_one_row_are_joined(rows):
    frame = at(at(rows, "size", 999.0, 5), "color", "mauve", 5)
    (why,) = check(frame).bad["why"]
    assert "color: isin" in why
    assert "size: in_range" in why


def test_the_first_of_equals_is_valid(rows):
    found = check(pl.concat([rows, rows[3:5]]))
    assert found.good.equals(rows)
    assert found.bad["id"].to_list() == ["b1-3", "b1-4"]


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
def dataset(rows, monkeypatch):
    """A function that makes a dataset of frames."""

    def make(*frames: pl.DataFrame) -> Dataset:
        paths = []
        for frame in frames:
            with store.new_file("part.parquet") as draft:
                frame.write_parquet(draft.path)
            paths.append(store.locate(draft.ref))
        monkeypatch.setattr("tasks.validation.dataset_paths", lambda dataset: paths)
        files = tuple(DataFile(path=f"p{number}.parquet", md5=str(number), size=1) for number in range(len(paths)))
        return Dataset(path="data/tiny", version="1", files=files)

    return make


def validate(dataset: Dataset):
    project = load_project("tiny")
    return validate_dataset(dataset, schema_text(project), project.data)


def test_a_clean_dataset_excludes_nothing(dataset, rows):
    checked = validate(dataset(rows[:200], rows[200:]))
    assert (checked.rows, checked.invalid, checked.excluded) == (500, 0, None)


def test_exactly_the_invalid_rows_are_excluded_by_file_and_position(dataset, rows, monkeypatch):
    monkeypatch.setattr("tasks.validation.CHUNK", 64)  # several chunks, so that positions have to add up
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
