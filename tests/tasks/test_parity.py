"""The server's reader accepts and refuses exactly the rows that validation does, and encodes them as training does."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.config import DataConfig, FeaturesConfig, PackageConfig
from penstock.features import encode_frame
from penstock.fields import INTEGERS
from penstock.rows import SHOWN, Coded, Numbers, Problem, RowErrors, RowReader
from penstock.schema import compile_spec, parse_schema
from tasks.data.validation import check_batch

LAX = DataConfig(source="a:b", path="data/x", max_invalid_fraction=1.0)
KINDS = [*INTEGERS, *["Int64", "UInt64", "Float32", "Float64", "String"] * 3, "Boolean"]  # where more can go wrong
BOUNDS = [0, 1, 2, 0.1, 0.3, -0.1, 100, 127, 255, 1e-3, 16_777_217, 2**53, 2**53 + 1, 1e30]
LARGE = [2**24 + 1, 2**53 - 1, 2**53, 2**53 + 1, 2**60 + 2**36 + 1, 2**63 - 1, 2**64 - 1, -(2**53) - 1, -(2**63)]
HUGE = [3.4028234663852886e38, 3.5e38, -1e39, 1e300, math.inf, -math.inf, math.nan]
TEXTS = ["", "a", "ab", "abc", "b", "xb", "a\n", "ab\n", "\n", "é", "e\u0301", "日本", "AB", "a$", "a\\Z", "٣", "a]"]
PATTERNS = [
    "^[a-z]{1,2}$",
    "^a|b$",
    "^.$",
    "^[^a]+$",
    r"^a\$?$",
    r"^\d$",
    "^(?:a$|b)+$",
    "^(?i:ab)$",
    "^$",
    r"^a[\]$]$",
]


def bounded(draw: Any) -> dict[str, Any]:
    """A range, or one or two single bounds, or none."""
    kind = draw(st.sampled_from(["", "in_range", "single"]))
    low, high = sorted(draw(st.tuples(st.sampled_from(BOUNDS), st.sampled_from(BOUNDS))))
    if kind == "in_range":
        flags = {"include_min": draw(st.booleans()), "include_max": draw(st.booleans())}
        return {"in_range": {"min_value": low, "max_value": high, **(flags if low < high else {})}}
    if kind == "single":
        chosen = draw(st.sampled_from([("ge",), ("gt",), ("le",), ("lt",), ("ge", "lt"), ("gt", "le")]))
        return dict(zip(chosen, (low, high), strict=False))
    return {}


def listed(draw: Any, values: list[Any]) -> dict[str, Any]:
    """One of `isin` and `notin`, or neither."""
    name = draw(st.sampled_from(["", "", "isin", "notin"]))
    return {name: draw(st.lists(st.sampled_from(values), min_size=1, max_size=5))} if name else {}


@st.composite
def columns(draw: Any) -> dict[str, Any]:
    """One column of a schema file, and a pool of values at, beside and far from its bounds."""
    kind = draw(st.sampled_from(KINDS))
    column: dict[str, Any] = {"dtype": kind, "nullable": draw(st.booleans())}
    if kind == "Boolean":
        return {"column": column | listed(draw, [True, False]), "pool": [True, False, None]}
    if kind == "String":
        column |= listed(draw, TEXTS)
        column |= draw(st.sampled_from([{}, *({"str_matches": pattern} for pattern in PATTERNS)]))
        column |= draw(st.sampled_from([{}, {"str_length": {"min_value": 1, "max_value": 2}}]))
        return {"column": column, "pool": [*TEXTS, None]}
    column |= bounded(draw)
    if kind in INTEGERS:
        smallest, largest = INTEGERS[kind]
        column |= listed(draw, [value for value in [0, 1, 100, *LARGE] if smallest <= value <= largest])
    else:
        column |= listed(draw, [0.1, 1, 0.3, float(np.float32(0.3)), 100])
    return {"column": column, "pool": pool(column)}


def pool(column: dict[str, Any]) -> list[Any]:
    """Values at, beside and far from the bounds of a column of numbers."""
    kind, numbers = column["dtype"], numbers_in(column)
    if kind in INTEGERS:
        smallest, largest = INTEGERS[kind]
        near = [round(number) + step for number in numbers if abs(number) < 1e20 for step in (-1, 0, 1)]
        return [*(value for value in [*near, *LARGE, smallest, largest] if smallest <= value <= largest), None]
    beside = [np.nextafter(number, side, dtype=kind.lower()) for number in numbers for side in (-np.inf, np.inf)]
    exact = [float(number) for number in numbers] + [float(np.float32(number)) for number in numbers]
    return [*map(float, beside), *exact, -0.0, 5.5, *HUGE, None]


def numbers_in(column: dict[str, Any]) -> list[float]:
    """The bounds and listed numbers of a column, and 0."""
    found = [0, *column.get("in_range", {}).values(), *column.get("isin", []), *column.get("notin", [])]
    found += [column[name] for name in ("ge", "gt", "le", "lt") if name in column]
    return [number for number in found if not isinstance(number, bool)]


@st.composite
def cases(draw: Any) -> tuple[str, pl.DataFrame, FeaturesConfig]:
    """A schema's text, a frame of 1 to 30 rows that has its columns and types, and what of it is a feature."""
    rows = draw(st.integers(1, 30))
    schema: dict[str, Any] = {"n": {"dtype": "UInt32"}, "late": {"dtype": "Boolean"}}
    series = {"n": pl.Series(range(rows), dtype=pl.UInt32), "late": pl.Series([True] * rows)}
    for number, part in enumerate(draw(st.lists(columns(), min_size=3, max_size=6))):
        name, kind = f"c{number}", getattr(pl, part["column"]["dtype"])
        values = draw(st.lists(st.sampled_from(part["pool"]), min_size=rows, max_size=rows))
        schema[name], series[name] = part["column"], pl.Series(values, dtype=kind)
    texts = tuple(name for name, column in schema.items() if column["dtype"] == "String")
    numbers = tuple(name for name in schema if name.startswith("c") and name not in texts)
    features = FeaturesConfig(label="late", categorical=texts, numeric=numbers)
    return yaml.safe_dump({"columns": schema}, allow_unicode=True), pl.DataFrame(series), features


def sent(row: dict[str, Any], whole_as_float: bool) -> dict[str, Any]:
    """A row as a client would send it: NaN in a frame means null; JavaScript has no integers."""
    row = {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
    if whole_as_float:
        exact = {name for name, value in row.items() if type(value) is int and float(value) == value}
        row = {name: float(value) if name in exact else value for name, value in row.items()}
    return row


def read(reader: RowReader, rows: list[dict[str, Any]]) -> tuple[np.ndarray | None, list[Problem]]:
    """What is read and no problems, or nothing and the problems."""
    try:
        return reader.read(rows).matrix, []
    except RowErrors as errors:
        return None, errors.problems


def columnar(rows: list[dict[str, Any]]) -> dict[str, Numbers | Coded]:
    """Rows as a client sends them by column: numbers as arrays of one type, anything else as codes."""
    columns: dict[str, Numbers | Coded] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        present = [value for value in values if value is not None]
        if present and all(type(value) in (int, float) for value in present):
            whole = any(type(value) is int for value in present)  # the others are whole, too: sent() made them so
            kind = (np.uint64 if max(present) >= 2**63 else np.int64) if whole else np.float64
            filled = np.array([0 if value is None else value for value in values], kind)
            columns[name] = Numbers(filled, np.array([value is None for value in values]))
        else:
            distinct = sorted(set(present))
            columns[name] = Coded(distinct, np.array([-1 if v is None else distinct.index(v) for v in values]))
    return columns


def read_columns(reader: RowReader, rows: list[dict[str, Any]]) -> tuple[np.ndarray | None, list[Problem]]:
    try:
        return reader.read_columns(columnar(rows), len(rows)).matrix, []
    except RowErrors as errors:
        return None, errors.problems


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(cases(), st.booleans())
def test_training_and_serving_accept_refuse_and_encode_the_same_rows(case, whole_as_float):
    compare(*case, whole_as_float)


@pytest.mark.parametrize("kind", ["Int8", "Int64", "UInt64", "Float32", "Float64"])
def test_every_bound_beside_every_value(kind):
    for name, bound in itertools.product(["ge", "gt", "le", "lt", "isin"], BOUNDS):
        if name == "isin" and kind in INTEGERS and not isinstance(bound, int):
            continue
        column = {"dtype": kind, "nullable": True, name: [bound] if name == "isin" else bound}
        compare_one(column, pool(column))


@pytest.mark.parametrize("kind", ["Int8", "Float32"])
@pytest.mark.parametrize("flags", [{}, {"include_min": False}, {"include_max": False}])
def test_both_ends_of_a_range(kind, flags):
    column = {"dtype": kind, "nullable": True, "in_range": {"min_value": 1, "max_value": 100, **flags}}
    compare_one(column, pool(column))


def test_every_rule_of_texts_beside_every_text():
    rules: list[dict[str, Any]] = [{"str_matches": pattern} for pattern in PATTERNS]
    rules += [{name: [text]} for name in ("isin", "notin") for text in TEXTS]
    rules += [{"str_length": {name: length}} for name in ("min_value", "max_value") for length in (0, 1, 2)]
    for rule in rules:
        compare_one({"dtype": "String", "nullable": True} | rule, [*TEXTS, None])


def compare_one(column: dict[str, Any], values: list[Any]) -> None:
    kind = column["dtype"]
    schema = {"n": {"dtype": "UInt32"}, "late": {"dtype": "Boolean"}, "c": column}
    frame = pl.DataFrame({"c": pl.Series(values, dtype=getattr(pl, kind))}).with_row_index("n").with_columns(late=True)
    features = FeaturesConfig(label="late", **{"categorical" if kind == "String" else "numeric": ("c",)})
    compare(yaml.safe_dump({"columns": schema}, allow_unicode=True), frame, features, False)


def compare(text: str, frame: pl.DataFrame, features: FeaturesConfig, whole_as_float: bool) -> None:
    """Read every row of ``frame`` as validation and training do, and as the server does: alone, and all at once."""
    checked = check_batch(frame, text, LAX, "x")
    bad = checked.bad["n"].to_list()
    assert sorted([*bad, *checked.good["n"]]) == frame["n"].to_list()

    # every other category is one that training did not see
    categories = {name: sorted(frame[name].drop_nulls().unique())[::2] for name in features.categorical}
    spec = compile_spec(parse_schema(text, "s.yaml"), features, categories, PackageConfig(purpose="x"))
    reader = RowReader(json.loads(json.dumps(spec, allow_nan=False)))  # as the server has it
    rows = [sent(row, whole_as_float) for row in frame.to_dicts()]

    alone = [read(reader, [row]) for row in rows]
    assert [number for number, (matrix, _) in enumerate(alone) if matrix is None] == bad
    single = [matrix for matrix, _ in alone if matrix is not None]

    together, problems = read(reader, rows)
    named = sorted({problem.row for problem in problems})
    assert named == bad[: len(named)]
    assert len(named) == len(bad) or len(problems) == SHOWN
    if together is not None:
        np.testing.assert_array_equal(together, np.concatenate(single))

    by_column, by_column_problems = read_columns(reader, rows)
    np.testing.assert_array_equal(by_column, together)
    assert by_column_problems == problems

    if single:
        encoded = encode_frame(checked.good, features, categories)
        codes = [pl.col(name).to_physical() for name in features.categorical]
        wanted = encoded.with_columns(codes).cast(pl.Float32).to_numpy()
        np.testing.assert_array_equal(np.concatenate(single), wanted)
        good = [row for number, row in enumerate(rows) if number not in bad]
        np.testing.assert_array_equal(reader.read(good).matrix, wanted)
