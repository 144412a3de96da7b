"""What the environment of a server asks for, it does: key, name, memory, one socket for two processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from typing import ClassVar

import pytest

from bentos import environment
from bentos.application import Application
from tests.bentos.conftest import serving
from tests.waiting import PATIENCE, until

JSON = "application/json"


def test_a_key_is_asked_for_everywhere_but_for_health(release, tmp_path):
    variables = {"PENSTOCK_API_KEY": "s3cret", "PENSTOCK_RELEASE": "tiny-v2"}
    with serving(release, tmp_path, **variables) as server:
        for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}, {"authorization": "s3cret"}):
            status, answer = server.predict(release.row, **headers)
            assert (status, answer["error"]) == (401, "no valid API key")
            assert [server.call("GET", f"/v1/{page}", **headers)[0] for page in ("model", "docs", "x")] == [401] * 3
        for headers in (
            {"x-api-key": "s3cret"},
            {"authorization": "Bearer s3cret"},
            {"authorization": "bearer  s3cret"},
        ):
            status, answer = server.predict(release.row, **headers)
            assert (status, answer["model"]) == (200, "tiny-v2")
        assert [server.call("GET", path)[0] for path in ("/livez", "/readyz", "/healthz", "/metrics")] == [200] * 4
        headers = server.call("GET", "/v1/model", **{"x-api-key": "s3cret"})[2]
        assert headers["x-penstock-model"] == "tiny-v2"
        assert b"s3cret" not in server.call("GET", "/metrics")[1]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PENSTOCK_LOG": '{"hash": ["color"]}'}, "PENSTOCK_LOG_KEY is not set"),
        ({"PENSTOCK_LOG": '{"hash": ["color"]}', "PENSTOCK_LOG_KEY": "x" * 65}, "at most 64"),
        ({"PENSTOCK_LOG": '{"hsah": []}'}, "PENSTOCK_LOG is not the JSON of a log section: hsah"),
        ({"PENSTOCK_LOG": "{"}, "PENSTOCK_LOG is not the JSON"),
        ({"PENSTOCK_MEMORY_MB": "lots"}, "PENSTOCK_MEMORY_MB is 'lots'"),
        ({"PENSTOCK_RELEASE": "a b\n"}, "PENSTOCK_RELEASE is"),
    ],
)
def test_what_cannot_be_used_is_said(variables, said):
    with pytest.raises(ValueError, match=said):
        environment.read(variables)


def test_a_server_that_cannot_start_says_why_in_one_line(release, tmp_path):
    with serving(release, tmp_path, wait=False, PENSTOCK_LOG='{"hash": ["color"]}') as server:
        assert server.process.wait(PATIENCE) == 1
        (line,) = server.log.splitlines()
        assert "PENSTOCK_LOG_KEY" in line


def test_two_processes_answer_on_one_unix_socket_and_share_their_metrics(release, tmp_path, short_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(short_path / "s"))
        listener.listen(128)
        shared = {"metrics": str(tmp_path / "metrics"), "PENSTOCK_LOG_DIR": str(tmp_path / "log" / "v1")}
        (tmp_path / "metrics").mkdir()
        with (
            serving(release, tmp_path / "a", listener, **shared) as first,
            serving(release, tmp_path / "b", listener, wait=False, **shared) as second,
        ):
            until(lambda: len(list((tmp_path / "metrics").glob("counter_*.db"))) == 2)
            assert [first.predict(release.row)[0] for _ in range(40)] == [200] * 40
            assert first.metric("penstock_rows_total") == 40
            first.stop()
            assert [second.predict(release.row)[0] for _ in range(5)] == [200] * 5
            assert second.metric("penstock_rows_total") == 45  # what the first one counted is not forgotten
        lines = [line for path in (tmp_path / "log" / "v1").glob("*.jsonl") for line in path.read_text().splitlines()]
        assert len(lines) == 45


def test_a_request_that_runs_is_answered_before_the_server_ends(release, tmp_path):
    with serving(release, tmp_path) as server:
        body = json.dumps([{**release.row, "size": number % 100} for number in range(1000)]).encode()
        asking = server.client.connection()
        asking.putrequest("POST", "/v1/explain")
        for name, value in (("content-type", JSON), ("content-length", str(len(body))), ("expect", "100-continue")):
            asking.putheader(name, value)
        asking.endheaders()
        assert asking.sock.recv(100).startswith(b"HTTP/1.1 100 ")  # it is at this request
        asking.send(body)
        os.kill(server.process.pid, signal.SIGTERM)
        assert asking.getresponse().status == 200
        asking.close()
        server.process.wait(PATIENCE)


def test_many_at_once_are_told_to_come_back(release, tmp_path):
    with serving(release, tmp_path) as server:
        held = [server.client.connection() for _ in range(65)]
        for connection in held:  # a body that has begun holds a place
            connection.putrequest("POST", "/v1/predict")
            connection.putheader("content-type", JSON)
            connection.putheader("content-length", "100")
            connection.endheaders(b"{")
        answer = until(lambda: (found := server.predict(release.row))[0] == 429 and found[1])
        assert answer["error"] == "too many requests"
        assert server.call("GET", "/readyz")[0] == 200
        answer = held[0].getresponse()  # in the end a body that does not come is given up
        assert (answer.status, json.loads(answer.read())["error"]) == (408, "body too slow")
        for connection in held:
            connection.close()
        until(lambda: server.predict(release.row)[0] == 200)


def test_a_body_that_would_swell_is_refused_before_it_does(release, tmp_path):
    with serving(release, tmp_path, PENSTOCK_MEMORY_MB="300") as server:
        for body in (
            b"[" + b"[[]]," * 1_500_000 + b"0]",
            b"[" + b'{"id":[' * 1_000_000,
            b'{"id":[' + b"1," * 3_900_000,
        ):
            status, answer = server.predict(body)
            assert (status, answer["error"]) == (413, "too many values")
        assert server.predict([release.row] * 10_000)[0] == 200


def test_without_memory_the_answer_is_500_and_the_process_ends_itself(monkeypatch, caplog):
    """In this process: a real lack of memory cannot be had at will, and some libraries abort at once."""
    told: list[int] = []
    monkeypatch.setattr(os, "kill", lambda process, sent: told.append(sent) if process == os.getpid() else None)

    class Predictions:
        errors: ClassVar = [MemoryError(), RuntimeError("std::bad_alloc"), ValueError("another")]

        def predict(self, body, kind, origin):
            raise self.errors.pop(0)

    application = Application(Predictions(), None, "tiny-v1", b"", 1000)
    assert [asked(application) for _ in range(3)] == [500, 500, 500]
    assert told == [signal.SIGTERM, signal.SIGTERM]
    assert len(caplog.records) == 1  # at most one a minute


def asked(application: Application) -> int:
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": headers}
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    return sent[0]["status"]
