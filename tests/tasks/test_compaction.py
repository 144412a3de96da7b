"""Served rows of every task type, out of the lines that servers write."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from bentos.prediction_log import json_member, record
from penstock.served import fixed_of, require_served
from tasks.monitoring.collected_store import read_windows
from tasks.monitoring.compaction import compact
from tasks.monitoring.served_store import read_served
from tasks.store import store
from tests.served import serve_rows

SOURCE = b'"model":"tiny-v1","environment":"production","shadow":false,"replay":false'
KINDS = {"color": "String", "size": "Float32"}
ANSWERS = {
    "binary": ([True, False], [0.75, 0.125]),
    "multiclass": (["late", "early"], [{"early": 0.25, "late": 0.75}, {"early": 0.875, "on time": 0.125}]),
    "regression": ([12.5, -3.25], None),
}


def line(identity: str, rows: object, task: str, *places: int) -> bytes:
    predictions, probabilities = ANSWERS[task]
    answer: dict[str, object] = {"model": "tiny-v1", "request_id": identity}
    answer["predictions"] = [predictions[place] for place in places]
    if probabilities:
        answer["probabilities"] = [probabilities[place] for place in places]
    return record(identity, SOURCE, 200, json_member(json.dumps(rows).encode()), json.dumps(answer).encode())


@pytest.mark.parametrize("task", list(ANSWERS))
def test_a_row_a_line_with_what_was_predicted(checkout, tmp_path, task):
    red, blue = {"color": "red", "size": 3.0}, {"color": "blue", "size": None}
    segment = tmp_path / "1-1.jsonl"
    lines = [line("one", red, task, 0), line("two", [red, blue], task, 1, 0)]
    segment.write_bytes(b"".join(lines))
    found = compact([segment], KINDS, replayed=False, task=task)
    assert (found.answered, found.models) == (3, {"tiny-v1": 3})
    rows = pl.read_parquet(store.locate(found.rows))
    require_served(rows.schema, "rows", ("color", "size"), task)
    assert rows.select("request_id", "row", "color", "size").rows() == [
        ("one", 0, "red", 3.0), ("two", 0, "red", 3.0), ("two", 1, "blue", None),
    ]  # fmt: skip
    first, second = ANSWERS[task][0]
    assert rows["decision"].to_list() == [first, second, first]
    scores = {"binary": [0.75, 0.125, 0.75], "multiclass": [0.75, 0.875, 0.75], "regression": [12.5, -3.25, 12.5]}[task]
    np.testing.assert_array_equal(rows["score"].to_numpy(), np.array(scores, np.float32))


def test_what_was_served_is_read_with_the_types_of_the_task(checkout):
    fixed = {"request_id": "r", "row": 0, "time_ns": 1, "model": "m-v1", "environment": "production", "score": [4.5]}
    serve_rows("typed", {**fixed, "decision": pl.Series([4.5], dtype=pl.Float32)}, "regression")
    found = read_served(read_windows("typed"), ("color",), task="regression")
    assert {name: str(kind) for name, kind in found.schema.items()} == fixed_of("regression") | {"color": "String"}
