"""Records out of a log's lines, also of a segment that is being written."""

from __future__ import annotations

import json

import pytest

from bentos.prediction_log import NO_REQUEST, arrow_member, broken_member, json_member, record
from penstock.prediction_log import records

SOURCE = b'"model":"flights-v2","environment":"production","shadow":false,"replay":true'
ANSWER = b'{"model":"flights-v2","predictions":[true,false],"probabilities":[0.75,0.25]}'


def line(request: bytes, response: bytes = ANSWER, status: int = 200) -> bytes:
    return record("abc-1", SOURCE, status, request, response)


def test_a_record_says_who_asked_what_and_got_what():
    body = b'[{"size": 1},\n {"size": 2}]'
    (found,) = records([line(json_member(body))])
    assert (found.id, found.model, found.environment) == ("abc-1", "flights-v2", "production")
    assert (found.shadow, found.replay, found.status) == (False, True, 200)
    assert found.rows == [{"size": 1}, {"size": 2}]
    assert found.scores == [0.75, 0.25]
    assert found.decisions == [True, False]
    assert found.time_ns > 1e18


def test_a_field_called_response_or_request_confuses_nobody():
    row = {"a": 1, "response": 2, "request": {"b": 1, "request": 3}, "t": ',"response":{}'}
    (found,) = records([line(json_member(json.dumps(row, separators=(",", ":")).encode()))])
    assert found.rows == [row]
    assert found.scores == [0.75, 0.25]


def test_a_refused_request_has_no_scores_and_may_have_no_rows():
    refused = b'{"error":"malformed JSON"}'
    for request in (NO_REQUEST, broken_member(b"{\xff")):
        (found,) = records([line(request, refused, 400)])
        assert (found.status, found.scores, found.decisions, found.rows) == (400, [], [], [])
    (found,) = records([line(arrow_member(b"no stream"), refused, 400)])
    assert found.rows == []


def test_rows_of_arrow_are_rows():
    import pyarrow as pa

    table = pa.table({"size": [1.5, None], "color": ["red", "blue"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    (found,) = records([line(arrow_member(sink.getvalue().to_pybytes()))])
    assert found.rows == [{"size": 1.5, "color": "red"}, {"size": None, "color": "blue"}]


def test_a_last_line_that_is_cut_off_is_left_out_wherever_it_is_cut():
    whole = line(json_member(b'{"size":1}'))
    for end in range(len(whole)):
        assert len(list(records([whole, whole[:end]]))) == 1


@pytest.mark.parametrize(
    "text", [b"\n", b"{}\n", b'{"request":1,"response":2}\n', b'{"x":1,"request":1,"response":2}\n']
)
def test_a_whole_line_that_is_no_record_is_an_error(text):
    with pytest.raises(ValueError, match="not a line of a prediction log"):
        list(records([text]))
