"""Whatever is wrong with a request, the answer is a 4xx that names it, and the log has no traceback."""

from __future__ import annotations

import json
import socket

import pytest

JSON = "application/json"


def test_a_good_row_is_answered_and_so_are_many(server, release):
    status, one = server.predict(release.row)
    assert status == 200
    assert one["model"] == release.tag
    assert one["predictions"] == [one["probabilities"][0] >= release.about["threshold"]]
    for count in (2, 100, 10_000):  # 10,000 are answered in another thread
        status, many = server.predict([release.row] * count)
        assert (status, many["probabilities"]) == (200, one["probabilities"] * count)


@pytest.mark.parametrize(
    ("change", "row", "said"),
    [
        ({"size": None}, 0, "is required"),
        ({"size": ...}, 0, "is required"),
        ({"size": "5"}, 0, "must be a number, not text"),
        ({"size": [1]}, 0, "must be a number, not a list"),
        ({"size": 1000}, 0, "must be at most 100"),
        ({"size": 2**63}, 0, "must be at most 100"),
        ({"size": 10**30}, 0, "must be at most 100"),
        ({"seats": 2.5}, 0, "must be a whole number"),
        ({"color": "mauve"}, 0, "must be one of blue, green, red"),
        ({"color": {"a": 1}}, 0, "must be text, not an object"),
        ({"wet": 1}, 0, "must be true or false"),
        ({"sise": 1}, 0, "is not a field of this model"),
    ],
)
def test_a_wrong_value_is_named_by_row_and_field(server, release, change, row, said):
    wrong = {name: value for name, value in {**release.row, **change}.items() if value is not ...}
    (field,) = change
    for route in ("predict", "explain"):
        status, answer = server.predict(wrong, route)
        assert status == 422
        (problem,) = answer["problems"]
        assert (problem["row"], problem["field"]) == (row, field)
        assert said in problem["message"]
        status, answer = server.predict([release.row] * 20 + [wrong], route)
        assert (status, answer["problems"][0]["row"], answer["total"]) == (422, 20, 1)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "malformed JSON"),
        (b"{", 400, "malformed JSON"),
        (b'{"size": NaN}', 400, "malformed JSON"),
        (b'{"size": Infinity}', 400, "malformed JSON"),
        (b'{"size": 1e999}', 400, "malformed JSON"),
        (b'{"size": 1' + b"0" * 5000 + b"}", 400, "malformed JSON"),
        (b'{"color": "\xff"}', 400, "malformed JSON"),
        (b'{"color": "\\ud800"}', 400, "malformed JSON"),
        (b"\xff\xfe{\x00}\x00", 400, "malformed JSON"),
        (b"[" * 100_000, 400, "malformed JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "malformed JSON"),
        (b'{"id":' + b"[" * 900 + b'{"a":1,"a":1}' + b"]" * 900 + b"}", 422, "invalid rows"),
        (b"[]", 422, "no rows"),
        (b"5", 422, "no rows"),
        (b'"text"', 422, "no rows"),
        (b"null", 422, "no rows"),
        (b"[1, null]", 422, "invalid rows"),
        (b"[" + b"{}," * 10_000 + b"{}]", 413, "too many rows"),
        (b" " * 8_000_001, 413, "body too large"),
    ],
)
def test_a_body_that_cannot_be_read(server, body, status, error):
    found, answer = server.predict(body)
    assert (found, answer["error"]) == (status, error)
    assert answer["request_id"]


@pytest.mark.parametrize(
    ("twice", "row"),
    [
        ('{"size": 1, "color": "red", "size": 2}', 0),
        ('[{}, {"color": "a:b", "size": 1, "size": 1}]', 1),
        ('{"size": 1, "color": "\\u003a", "size": 2}', 0),
        ('{"size": 1, "\\u0073ize": 2, "color": "red"}', 0),
    ],
)
def test_a_field_that_stands_twice_is_named(server, twice, row):
    status, answer = server.predict(twice.encode())
    assert (status, answer["problems"]) == (422, [{"row": row, "field": "size", "message": "stands twice"}])


def test_a_colon_in_a_text_is_no_second_field(server, release):
    status, _ = server.predict({**release.row, "id": "a:b", "at": "2024-01-01T00:00:00"})
    assert status == 200
    status, _ = server.predict({**release.row, "id": {"nested": {"a": ["\\u003a", ":"]}}})
    assert status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx", "é"])
def test_a_wrong_content_type(server, release, kind):
    status, answer = server.predict(release.row, **{"content-type": kind})
    assert (status, answer["error"]) == (415, "unsupported content type")


def test_a_content_type_with_parameters_and_an_encoding(server, release):
    assert server.predict(release.row, **{"content-type": "Application/JSON; charset=utf-8"})[0] == 200
    status, answer = server.predict(release.row, **{"content-encoding": "gzip"})
    assert (status, answer["error"]) == (415, "unsupported content encoding")


def test_paths_and_methods(server):
    for path in ("/", "/docs.json", "/schema.json", "/v1", "/v1/predict/", "/static_content/swagger-ui.css", "/v1/%00"):
        status, body, _ = server.call("GET", path)
        assert (status, json.loads(body)["error"]) == (404, "no such path")
    for method, path in (("GET", "/v1/predict"), ("PUT", "/v1/explain"), ("POST", "/v1/model")):
        status, body, _ = server.call(method, path)
        assert (status, json.loads(body)["error"]) == (405, "method not allowed")
    assert [server.call("GET", path)[0] for path in ("/livez", "/readyz", "/healthz", "/metrics")] == [200] * 4


def test_no_client_makes_series_of_metrics(server):
    for number in range(50):
        server.call("GET", f"/nothing/{number}", **{"x-request-id": f"r{number}"})
    text = server.call("GET", "/metrics")[1].decode()
    assert "nothing" not in text
    assert text.count('route="other",status="404"') == 1


def test_a_request_keeps_its_id_if_it_is_one(server, release):
    for given, kept in (("abc-1", True), ("<b>", False), ("x" * 129, False), ('a"b', False)):
        headers = server.call(
            "POST", "/v1/predict", json.dumps(release.row), **{"content-type": JSON, "x-request-id": given}
        )[2]
        assert (headers["x-request-id"] == given) is kept
        assert headers["x-penstock-model"] == release.tag


def test_a_chunked_body_is_counted_as_it_comes(server, release):
    def chunks(total: int):
        yield json.dumps(release.row).encode()
        for _ in range(total):
            yield b" " * 100_000

    assert server.call("POST", "/v1/predict", chunks(3), **{"content-type": JSON})[0] == 200
    connection = server.client.connection()
    connection.putrequest("POST", "/v1/predict")
    connection.putheader("content-type", JSON)
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    for chunk in chunks(82):
        connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]) == (413, "body too large")
    connection.close()


def test_a_client_that_leaves_in_the_middle_harms_nobody(server, release):
    with socket.create_connection(server.listener.getsockname()) as left:
        left.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
        )
    assert server.predict(release.row)[0] == 200
