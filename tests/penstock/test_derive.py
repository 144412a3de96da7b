"""Derived features: what each operation answers, and that training and the service answer the same, bit for bit."""

from __future__ import annotations

import datetime
import io
import json
import math
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bentos.arrow_body import columns as arrow_columns
from penstock.config import FeaturesConfig, PackageConfig
from penstock.features import categories_of, encode_frame
from penstock.rows import FEW, RowErrors, RowReader
from penstock.schema import compile_spec, parse_schema
from tasks.training.samples import json_rows

SCHEMA = {
    "at": {"dtype": "Datetime(time_unit='us')", "nullable": True},
    "day": {"dtype": "Date", "nullable": True},
    "milli": {"dtype": "Datetime(time_unit='ms')", "nullable": True},
    "nano": {"dtype": "Datetime(time_unit='ns', time_zone='Europe/Berlin')", "nullable": True},
    "single": {"dtype": "Float32", "nullable": True},
    "double": {"dtype": "Float64", "nullable": True},
    "whole": {"dtype": "Int64", "nullable": True},
    "small": {"dtype": "UInt8", "nullable": True},
    "flag": {"dtype": "Boolean", "nullable": True},
    "word": {"dtype": "String", "nullable": True},
    "size": {"dtype": "Float64"},
    "late": {"dtype": "Boolean"},
}  # fmt: skip
TYPES = {
    "at": pl.Datetime("us"), "day": pl.Date(), "milli": pl.Datetime("ms"),
    "nano": pl.Datetime("ns", "Europe/Berlin"), "single": pl.Float32(), "double": pl.Float64(), "whole": pl.Int64(),
    "small": pl.UInt8(), "flag": pl.Boolean(), "word": pl.String(), "size": pl.Float64(), "late": pl.Boolean(),
}  # fmt: skip
NUMBERS, TIMES = ("single", "double", "whole", "small", "size"), ("at", "day", "milli", "nano")
PYTHON = {
    "call": "made:make",
    "columns": {"single": "number", "word": "text", "at": "time"},
    "features": ["half", "letters", "night"],
    "source": """
import numpy as np

def make(columns):
    at = columns["at"]
    night = (at.astype("datetime64[h]").astype(int) % 24 < 6) & ~np.isnat(at)
    letters = [np.nan if text is None else len(text) for text in columns["word"]]
    columns["single"] /= 2  # its own copy
    return {"half": columns["single"], "letters": np.array(letters, float), "night": night}
""",
}
WORDS = ["", "AA", "UA", "12", " 7.5 ", "-1e3", "1e999", "1_000", "nan", "Ärger", "other", "rest"]
FLOATS = [0.0, -0.0, 0.1, -1.0, 1.0, 3.7, 1e-45, 1e-320, 1e30, -3.4e38, 3.4028234663852886e38, 16_777_217.0, 1 / 3]


@st.composite
def operations(draw: Any) -> dict[str, Any]:
    number = st.sampled_from(NUMBERS)
    kind = draw(st.sampled_from(["part", "log", "clip", "ratio", "rename", "cast", "group", "top"]))
    if kind == "part":
        part = st.sampled_from(["year", "quarter", "month", "day", "yearday", "weekday", "hour", "minute"])
        return {"part": draw(part), "of": draw(st.sampled_from(TIMES))}
    if kind == "log":
        return {"log": draw(number), "plus": draw(st.sampled_from([0, 1, -0.1, 1e-9, None]))}
    if kind == "clip":
        low, high = sorted([draw(st.sampled_from(FLOATS)), draw(st.sampled_from(FLOATS))])
        return {"clip": draw(number), "min": low, "max": draw(st.sampled_from([high, None]))}
    if kind == "ratio":
        return {"ratio": [draw(number), draw(number)]}
    if kind == "rename":
        column = draw(st.sampled_from([*NUMBERS, "flag", "word"]))
        return {"rename": column, "kind": "text" if column == "word" else "number"}
    if kind == "cast":
        return draw(
            st.sampled_from(
                [{"cast": "word", "to": "number"}, *({"cast": n, "to": "text"} for n in ("whole", "small"))]
            )
        )
    if kind == "top":
        return {"group": "word", "top": draw(st.integers(1, 4)), "other": draw(st.sampled_from(["rest", None]))}
    into: dict[str, list[str]] = {
        "one": draw(st.lists(st.sampled_from(WORDS[:6]), min_size=1, max_size=3, unique=True))
    }
    into["AA"] = draw(st.lists(st.sampled_from(WORDS[6:]), max_size=3, unique=True))
    return {"group": "word", "into": into, "other": draw(st.sampled_from(["rest", None]))}


MOMENTS = st.one_of(
    st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30)),
    st.datetimes(datetime.datetime(1969, 12, 30), datetime.datetime(2040, 1, 1)),
)
LONG = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1))  # what nanoseconds can say
WHOLE = [0, 1, -1, 2**24 + 1, 2**53 + 1, 2**60 + 2**36 + 1, -(2**63)]
SINGLE = [float(np.float32(value)) for value in FLOATS]
VALUES: dict[str, Any] = {
    "at": MOMENTS,
    "day": st.dates(datetime.date(1, 1, 1), datetime.date(9999, 12, 31)),
    "milli": MOMENTS.map(lambda found: found.replace(microsecond=found.microsecond // 1000 * 1000)),
    "nano": LONG.map(lambda found: found.replace(tzinfo=datetime.UTC)),
    "single": st.one_of(st.sampled_from(SINGLE), st.floats(-1e6, 1e6, width=32)),
    "double": st.one_of(st.sampled_from(FLOATS), st.floats(-1e9, 1e9)),
    "whole": st.one_of(st.sampled_from(WHOLE), st.integers(-99, 99)),
    "small": st.integers(0, 255),
    "flag": st.booleans(),
    "word": st.sampled_from(WORDS),
}  # fmt: skip


@st.composite
def frames(draw: Any, rows: int) -> pl.DataFrame:
    columns = {
        name: draw(st.lists(st.one_of(values, st.none()), min_size=rows, max_size=rows))
        for name, values in VALUES.items()
    }
    columns |= {"size": draw(st.lists(st.floats(-5, 5), min_size=rows, max_size=rows)), "late": [True] * rows}
    return pl.DataFrame({name: pl.Series(columns[name], dtype=TYPES[name]) for name in SCHEMA})


@st.composite
def cases(draw: Any) -> tuple[pl.DataFrame, pl.DataFrame, FeaturesConfig]:
    """Training rows, rows that are asked, and what is made of them."""
    derive = {f"d{number}": one for number, one in enumerate(draw(st.lists(operations(), min_size=1, max_size=6)))}
    features = FeaturesConfig(
        label="late",
        categorical=draw(st.sampled_from([(), ("word",)])),
        numeric=("size", "flag"),
        derive=derive,
        python=draw(st.sampled_from([None, PYTHON])),
    )
    return draw(frames(draw(st.integers(1, 20)))), draw(frames(draw(st.integers(1, 20)))), features


def trained(rows: pl.DataFrame, known: dict[str, list[str]], features: FeaturesConfig) -> np.ndarray:
    """What the booster is given of rows, categories as codes."""
    encoded = encode_frame(rows, features, known)
    assert tuple(encoded.columns) == features.names
    codes = [pl.col(name).to_physical() for name in features.texts]
    return encoded.with_columns(codes).cast(pl.Float32).fill_null(np.nan).to_numpy()


def served(features: FeaturesConfig, known: dict[str, list[str]], **package: Any) -> RowReader:
    """The reader of a release's server."""
    spec = compile_spec(
        parse_schema(yaml.safe_dump({"columns": SCHEMA}), "s.yaml"),
        features,
        known,
        PackageConfig(purpose="x", **package),
    )
    return RowReader(json.loads(json.dumps(spec, allow_nan=False)))


def arrow(rows: pl.DataFrame, reader: RowReader) -> Any:
    """The rows as an Arrow stream, as the service reads it."""
    sink = io.BytesIO()
    table = rows.select(reader.names).to_arrow(compat_level=pl.CompatLevel.oldest())
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return arrow_columns(sink.getvalue(), 1000, 10**6, reader.names, reader.allowed)


def equal_bits(one: np.ndarray, other: np.ndarray) -> None:
    assert one.dtype == other.dtype == np.float32 and one.shape == other.shape
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    filled, also = np.nan_to_num(one, nan=0.0), np.nan_to_num(other, nan=0.0)
    np.testing.assert_array_equal(filled.view(np.int32), also.view(np.int32))


@given(cases())
def test_training_and_serving_derive_the_same_bits(case):
    training, asked, features = case
    known = categories_of(training.lazy(), features)
    reader = served(features, known)
    rows = json.loads(json.dumps(json_rows(asked.select(features.inputs))))
    wanted = trained(asked, known, features)

    by_column, count = arrow(asked, reader)
    equal_bits(reader.read_columns(by_column, count).matrix, wanted)
    alone = [reader.read([row]) for row in rows]
    equal_bits(np.concatenate([one.matrix for one in alone]), wanted)
    many = reader.read(rows * FEW)
    equal_bits(many.matrix, np.concatenate([wanted] * FEW))

    total = {name: sum(one.unknown.get(name, 0) for one in alone) for name in many.unknown}
    assert {name: count // FEW for name, count in many.unknown.items()} == total
    assert reader.read_columns(by_column, count).unknown == total

    texts = asked.with_columns(  # times as a logged request has them
        pl.col(name).map_elements(lambda found: found.isoformat(), pl.String) for name in TIMES
    )
    equal_bits(trained(texts, known, features), wanted)


def table(**columns: list[Any]) -> pl.DataFrame:
    """Rows with these columns and no other value."""
    rows = len(next(iter(columns.values())))
    given = {"size": [1.0] * rows, "late": [True] * rows, **columns}
    return pl.DataFrame({name: pl.Series(given.get(name, [None] * rows), dtype=TYPES[name]) for name in SCHEMA})


def made(operation: dict[str, Any], rows: pl.DataFrame) -> list[Any]:
    """The one feature that ``operation`` makes of ``rows``, which are also the training rows."""
    features = FeaturesConfig(label="late", derive={"made": operation})
    return encode_frame(rows, features, categories_of(rows.lazy(), features))["made"].to_list()


AT = [datetime.datetime(2013, 12, 31, 23, 59, 59, 999_999), datetime.datetime(1969, 3, 2, 4, 5), None]


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ("year", [2013, 1969, None]),
        ("quarter", [4, 1, None]),
        ("month", [12, 3, None]),
        ("day", [31, 2, None]),
        ("yearday", [365, 61, None]),
        ("weekday", [2, 7, None]),
        ("hour", [23, 4, None]),
        ("minute", [59, 5, None]),
    ],
)
def test_parts_of_a_time(part: str, wanted: list[Any]) -> None:
    assert made({"part": part, "of": "at"}, table(at=AT)) == wanted


def test_every_part_is_what_polars_says_of_it() -> None:
    days = [datetime.date(1583, 1, 1) + datetime.timedelta(days=97 * number) for number in range(2000)]
    rows = table(day=days)
    calls = {"yearday": "ordinal_day"}
    for part in ("year", "quarter", "month", "day", "yearday", "weekday"):
        wanted = getattr(rows["day"].dt, calls.get(part, part))().to_list()
        assert made({"part": part, "of": "day"}, rows) == wanted


def test_a_time_with_a_zone_is_taken_in_utc() -> None:
    berlin = datetime.datetime(2024, 7, 1, 0, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    assert made({"part": "hour", "of": "nano"}, table(nano=[berlin])) == [22]
    features = FeaturesConfig(label="late", derive={"hour": {"part": "hour", "of": "at"}})
    texts = ["2024-07-01T00:30:00+02:00", "2024-06-30T22:30:00Z", "2024-06-30 22:30", "20240630T2230"]
    for text in texts:
        assert served(features, {}).read([{"at": text}]).matrix.tolist() == [[22.0]]


@pytest.mark.parametrize(
    ("operation", "column", "values", "wanted"),
    [
        ({"log": "double"}, "double", [math.e, 1.0, 0.0, -1.0, None], [1.0, 0.0, None, None, None]),
        ({"log": "whole", "plus": 1}, "whole", [0, -1, None], [0.0, None, None]),
        ({"clip": "double", "min": 0, "max": 2}, "double", [-5.0, 1.5, 9.0, None], [0.0, 1.5, 2.0, None]),
        ({"clip": "small", "max": 2}, "small", [1, 200], [1.0, 2.0]),
        ({"ratio": ["double", "size"]}, "double", [3.0, None], [3.0, None]),
        ({"ratio": ["size", "double"]}, "double", [4.0, 0.0, 1e-300], [0.25, None, None]),
        ({"rename": "flag", "kind": "number"}, "flag", [True, False, None], [1.0, 0.0, None]),
        ({"rename": "word", "kind": "text"}, "word", ["AA", None], ["AA", None]),
        ({"cast": "word", "to": "number"}, "word", ["12", " 7.5 ", "-1e3", "1_000", "nan", "", "1e999", "٣", None],
         [12.0, 7.5, -1000.0, None, None, None, None, None, None]),
        ({"cast": "whole", "to": "text"}, "whole", [7, -3, None], ["7", "-3", None]),
        ({"group": "word", "into": {"old": ["AA", "UA"]}, "other": "rest"}, "word", ["AA", "UA", "B6", None],
         ["old", "old", "rest", None]),
        ({"group": "word", "into": {"old": ["AA", "UA"]}}, "word", ["AA", "B6", None], ["old", "B6", None]),
        ({"group": "word", "into": {"old": ["AA", "UA"]}, "other": ""}, "word", ["AA", "B6", None], ["old", "", None]),
        ({"group": "word", "top": 2}, "word", ["b", "b", "c", "a", "d", None], ["b", "b", "other", "a", "other", None]),
        ({"group": "word", "top": 9, "other": "rest"}, "word", ["b", "a"], ["b", "a"]),
    ],
)  # fmt: skip
def test_what_each_operation_answers(operation, column, values, wanted) -> None:
    assert made(operation, table(**{column: values})) == wanted


def test_what_is_kept_of_a_group_is_learnt_from_training_rows() -> None:
    features = FeaturesConfig(label="late", derive={"few": {"group": "word", "top": 1, "other": "rest"}})
    known = categories_of(table(word=["x", "x", "y"]).lazy(), features)
    assert known == {"few": ["rest", "x"]}
    reader = served(features, known)
    asked = [{"word": word} for word in ("y", "x", "never seen", None)]
    np.testing.assert_array_equal(reader.read(asked).matrix[:, 0], [0, 1, 0, np.nan])
    assert reader.read(asked).unknown == {}


def test_a_group_that_training_did_not_see_is_counted_or_refused() -> None:
    features = FeaturesConfig(label="late", derive={"code": {"group": "word", "into": {"old": ["AA"]}}})
    known = categories_of(table(word=["AA", "B6"]).lazy(), features)
    asked = [{"word": "AA"}, {"word": "new"}]
    assert served(features, known).read(asked).unknown == {"code": 1}
    with pytest.raises(RowErrors) as caught:
        served(features, known, unknown_category="reject").read(asked)
    [problem] = caught.value.problems
    assert (problem.row, problem.field) == (1, "word") and "`code`" in problem.message


def test_a_float32_is_the_float32_that_training_had() -> None:
    """0.1 as a client writes it is less than the float32 that training has: its logarithm would be missing."""
    features = FeaturesConfig(label="late", derive={"far": {"log": "single", "plus": -0.1}})
    rows = table(single=[0.1])
    wanted = trained(rows, {}, features)
    assert np.isfinite(wanted).all()
    for count in (1, FEW + 1):
        equal_bits(served(features, {}).read([{"single": 0.1}] * count).matrix, np.concatenate([wanted] * count))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("at", 1_700_000_000, "must be a time as text, not a number"),
        ("at", "yesterday", "must be a time, such as"),
        ("at", "2024-02-30", "must be a time, such as"),
        ("at", "0001-01-01T00:00:00+05:00", "must be a time, such as"),
        ("day", "2024-02-29T05:00:00", "must be a date, such as"),
        ("day", True, "must be a date as text, not true or false"),
        ("word", 5, "must be text"),
    ],
)
def test_a_wrong_input_names_row_and_field(field, value, said) -> None:
    derive = {
        "a": {"part": "day", "of": "at"},
        "b": {"part": "day", "of": "day"},
        "c": {"cast": "word", "to": "number"},
    }
    reader = served(FeaturesConfig(label="late", derive=derive), {})
    good = {"at": "2024-02-29", "day": "2024-02-29", "word": "7"}
    for rows in ([good, {**good, field: value}], [good] * FEW + [{**good, field: value}]):
        with pytest.raises(RowErrors) as caught:
            reader.read(rows)
        [problem] = caught.value.problems
        assert (problem.row, problem.field) == (len(rows) - 1, field)
        assert said in problem.message


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([datetime.datetime(2024, 2, 29, 5)]), "must be a date, not a time"),
        (pa.array([None], pa.timestamp("s")), "is required"),
    ],
)
def test_a_wrong_arrow_column_is_refused(column: pa.Array, said: str) -> None:
    text = yaml.safe_dump({"columns": {"day": {"dtype": "Date"}, "late": {"dtype": "Boolean"}}})
    features = FeaturesConfig(label="late", derive={"part": {"part": "day", "of": "day"}})
    reader = RowReader(compile_spec(parse_schema(text, "s.yaml"), features, {}, PackageConfig(purpose="x")))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, pa.schema({"day": column.type})) as stream:
        stream.write_table(pa.table({"day": column}))
    found, count = arrow_columns(sink.getvalue(), 10, 10**6, reader.names, reader.allowed)
    with pytest.raises(RowErrors) as caught:
        reader.read_columns(found, count)
    assert caught.value.problems[0].message == said


def test_the_order_in_which_features_are_written_is_not_the_models() -> None:
    """A release's record is JSON with sorted keys; it has to mean the model that was trained."""
    derive = {"b": {"log": "size"}, "c": {"part": "day", "of": "at"}, "a": {"ratio": ["size", "double"]}}
    written = FeaturesConfig(label="late", derive=derive)
    recorded = FeaturesConfig.model_validate(json.loads(json.dumps(written.model_dump(mode="json"), sort_keys=True)))
    assert recorded == written and recorded.names == written.names == ("a", "b", "c")
    assert recorded.inputs == written.inputs


def test_a_null_in_an_arrow_dictionary_is_a_missing_value() -> None:
    derive = {
        "group": {"group": "word", "into": {"old": ["AA"]}, "other": "rest"},
        "number": {"cast": "word", "to": "number"},
        "weekday": {"part": "weekday", "of": "day"},
    }
    features = FeaturesConfig(label="late", derive=derive)
    reader = served(features, {"group": ["old", "rest"]})
    index = pa.array([0, 1, 0])
    table = pa.table({
        "word": pa.DictionaryArray.from_arrays(index, pa.array([None, "AA"])),
        "day": pa.DictionaryArray.from_arrays(index, pa.array([None, "2024-02-29"])),
    })  # fmt: skip
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    given, rows = arrow_columns(sink.getvalue(), 10, 1000, reader.names, reader.allowed)
    found = reader.read_columns(given, rows)
    gap = {"word": None, "day": None}
    equal_bits(found.matrix, reader.read([gap, {"word": "AA", "day": "2024-02-29"}, gap]).matrix)
    assert found.unknown == {} and np.isnan(found.matrix[0]).all()
