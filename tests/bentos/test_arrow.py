"""A batch as an Arrow stream is answered as the same rows in JSON are, and refused for the same reasons."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from tests.bentos.conftest import ARROW, JSON


def stream(table: pa.Table, **options) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=40)
    return sink.getvalue()


@pytest.fixture(scope="module")
def rows(release) -> list[dict]:
    return [{**release.row, "size": float(number % 100), "seats": number % 400 or None} for number in range(100)]


@pytest.fixture(scope="module")
def table(rows) -> pa.Table:
    return pa.Table.from_pylist(rows)


def ask(server, body: bytes, route: str = "predict"):
    return server.predict(body, route, **{"content-type": ARROW})


def replaced(table: pa.Table, name: str, values) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def test_arrow_is_answered_as_json_is(server, rows, table):
    _, expected = server.predict(rows)
    for body in (stream(table), stream(table.combine_chunks())):
        status, found = ask(server, body)
        assert (status, found["probabilities"]) == (200, expected["probabilities"])
    status, answer, headers = server.call(
        "POST", "/v1/predict", stream(table), **{"content-type": ARROW, "accept": ARROW}
    )
    assert (status, headers["content-type"]) == (200, ARROW)
    batch = pa.ipc.open_stream(answer).read_all()
    np.testing.assert_array_equal(batch["probability"].to_numpy(), np.array(expected["probabilities"], np.float32))
    assert batch["prediction"].to_pylist() == expected["predictions"]
    assert batch.schema.metadata[b"model"] == server.predict(rows)[1]["model"].encode()
    status, answer, headers = server.call(
        "POST", "/v1/predict", json.dumps(rows), **{"content-type": JSON, "accept": ARROW}
    )
    assert pa.ipc.open_stream(answer).read_all().num_rows == 100


def test_explanations_of_arrow_are_those_of_json(server, rows, table):
    found = [server.predict(rows, "explain")[1], ask(server, stream(table), "explain")[1]]
    assert found[0]["contributions"] == found[1]["contributions"]


def test_what_the_usual_libraries_write_is_read(server, rows, table):
    expected = server.predict(rows)[1]["probabilities"]
    color, size = table["color"], table["size"]
    frame = io.BytesIO()
    pl.DataFrame(rows).with_columns(pl.col("color").cast(pl.Categorical)).write_ipc_stream(frame)
    plain = io.BytesIO()
    pl.DataFrame(rows).write_ipc_stream(plain)
    for body in [
        frame.getvalue(),
        plain.getvalue(),
        stream(pa.Table.from_pandas(table.to_pandas(), preserve_index=False)),
        *(stream(replaced(table, "color", color.cast(kind))) for kind in (pa.large_string(), pa.string_view())),
        stream(replaced(table, "color", color.dictionary_encode())),
        *(
            stream(replaced(table, "size", size.cast(kind)))
            for kind in (pa.float32(), pa.float16(), pa.uint8(), pa.int64())
        ),
    ]:
        status, found = ask(server, body)
        assert (status, found.get("probabilities")) == (200, expected), found


@pytest.mark.parametrize(
    ("name", "values", "row", "said"),
    [
        ("size", [1.0, None, 3.0], 1, "is required"),
        ("size", [1.0, float("nan"), 3.0], 1, "finite"),
        ("size", [1.0, 2.0, float("inf")], 2, "finite"),
        ("size", [1.0, 2.0, 101.0], 2, "at most 100"),
        ("size", ["1", "2", "3"], 0, "must be a number, not text"),
        ("size", [True, None, True], 0, "must be a number, not true or false"),
        ("size", [[1.0], [2.0], []], 0, "must be numbers, texts, truth values or times, not list<"),
        ("seats", [1.0, 2.5, 3.0], 1, "whole number"),
        ("seats", [1, 2, 40_000], 2, "from -32768 to 32767"),
        ("color", ["red", "mauve", "red"], 1, "must be one of"),
        ("color", [1, 2, 3], 0, "must be text, not a number"),
        ("wet", [1, 0, 1], 0, "must be true or false"),
    ],
)
def test_a_wrong_value_is_named_by_row_and_field(server, table, name, values, row, said):
    status, answer = ask(server, stream(replaced(table.slice(0, 3), name, pa.array(values))))
    assert status == 422
    problem = answer["problems"][0]
    assert (problem["row"], problem["field"]) == (row, name)
    assert said in problem["message"]


def test_columns_that_are_missing_strange_or_double(server, table):
    status, answer = ask(server, stream(table.drop_columns(["size"])))
    assert (status, answer["total"], answer["problems"][0]["message"]) == (422, 100, "is required")
    status, answer = ask(server, stream(table.append_column("sise", table["size"])))
    assert (status, answer["problems"][0]) == (
        422,
        {"row": 0, "field": "sise", "message": "is not a field of this model"},
    )
    status, answer = ask(server, stream(table.append_column("size", table["size"])))
    assert (status, answer["problems"][0]["message"]) == (422, "stands twice")
    ignored = pa.array([[{"deep": 1}]] * 100)
    assert ask(server, stream(table.append_column("id", ignored)))[0] == 200


def test_a_stream_that_is_cut_off_is_refused_wherever_it_is_cut(server, table):
    body = stream(table)
    for end in [*range(0, len(body), 97), len(body) - 8, len(body) - 1]:
        status, answer = ask(server, body[:end])
        assert (status, answer["error"]) == (400, "malformed Arrow stream"), end
    assert ask(server, body + b"x")[0] == 400
    assert ask(server, json.dumps({}).encode())[0] == 400


def test_what_would_swell_is_refused(server, table):
    for codec in ("lz4", "zstd"):
        status, answer = ask(server, stream(table, compression=codec))
        assert (status, answer["error"]) == (400, "malformed Arrow stream")
        assert "compressed" in answer["found"]
    long = pa.array(["x" * 4_000_000])
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 100), long)
    status, answer = ask(server, stream(replaced(table, "color", words).combine_chunks()))
    assert (status, answer["error"]) == (400, "malformed Arrow stream")
    one = struct.pack("<i4sii", 4_000_000, b"xxxx", 0, 0)  # forty views of the same text
    buffers = [None, pa.py_buffer(one * 40), pa.py_buffer(b"x" * 4_000_000)]
    views = pa.Array.from_buffers(pa.string_view(), 40, buffers)
    status, answer = ask(server, stream(replaced(table.slice(0, 40), "color", views)))
    assert (status, answer["found"]) == (400, "the texts of one column have more than 8000000 bytes")
    nulls = pa.table({"color": pa.nulls(10_001)})
    body = io.BytesIO()
    with pa.ipc.new_stream(body, nulls.schema) as writer:
        writer.write_table(nulls)
    assert ask(server, body.getvalue())[0] == 413


def test_an_empty_stream_has_no_rows(server, table):
    status, answer = ask(server, stream(table.slice(0, 0)))
    assert (status, answer["error"]) == (422, "no rows")
