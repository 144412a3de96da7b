"""The prediction log keeps every request once, in whole lines, whatever happens to the process or the disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bentos import segments
from bentos.prediction_log import PredictionLog
from penstock.prediction_log import Record, records
from penstock.release_config import LogConfig
from tests.bentos.conftest import ARROW, serving
from tests.waiting import until

LINE = b'{"n":%d,"text":"' + b"x" * 80 + b'"}\n'


def kept(folder: Path, pattern: str = "*.jsonl") -> list[Record]:
    return [
        found for path in sorted(folder.glob(pattern)) for found in records(path.read_bytes().splitlines(keepends=True))
    ]


def numbers(folder: Path, pattern: str = "*.jsonl") -> list[int]:
    while True:
        try:
            lines = [line for path in sorted(folder.glob(pattern)) for line in path.read_bytes().splitlines()]
            return [json.loads(line)["n"] for line in lines]
        except FileNotFoundError:  # its segment was closed, and so renamed, between listing and reading
            continue


def test_requests_and_answers_are_in_the_log_when_the_server_has_ended(release, tmp_path):
    folder = tmp_path / "tiny" / "v1"
    headers = {"x-request-id": "a-1", "x-penstock-environment": "production"}
    with serving(release, tmp_path / "run", PENSTOCK_LOG_DIR=str(folder), PENSTOCK_RELEASE="tiny-v1") as server:
        _, answer = server.predict(json.dumps(release.row, indent=2).encode(), **headers)
        server.predict([release.row] * 100, **{"x-penstock-shadow": "1", "x-penstock-environment": "elsewhere"})
        server.predict({**release.row, "size": -1}, **{"x-penstock-replay": "1"})
        server.predict(b'{"size": \xff')
        server.predict(release.row, **{"content-type": "text/plain"})
        server.predict(b"no stream", **{"content-type": ARROW})
        for path in ("/v1/model", "/v1/docs", "/readyz", "/v1/x"):
            server.call("GET", path)
        server.predict(release.row, "explain")
        server.stop()
    assert list(folder.glob("*.open")) == []
    one, many, refused, broken, unread, arrow = kept(folder)
    assert (one.id, one.model, one.environment, one.shadow, one.replay) == (
        "a-1",
        "tiny-v1",
        "production",
        False,
        False,
    )
    assert (one.rows, one.scores, one.status) == ([release.row], answer["probabilities"], 200)
    assert (len(many.rows), len(many.scores), many.shadow, many.environment) == (100, 100, True, "")
    assert (refused.status, refused.replay, refused.rows[0]["size"], refused.scores) == (422, True, -1, [])
    assert [(found.status, found.rows) for found in (broken, unread, arrow)] == [(400, []), (415, []), (400, [])]


def test_rows_of_arrow_are_in_the_log(release, tmp_path):
    import pyarrow as pa

    table = pa.Table.from_pylist([release.row] * 3)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    folder = tmp_path / "tiny" / "v1"
    plain = {"PENSTOCK_LOG_DIR": str(folder)}
    private = {"PENSTOCK_LOG": '{"drop": ["size"], "hash": ["color"]}', "PENSTOCK_LOG_KEY": "k"}
    for variables in (plain, plain | private):
        with serving(release, tmp_path / "run", **variables) as server:
            headers = {"content-type": ARROW, "accept": ARROW}
            assert server.call("POST", "/v1/predict", sink.getvalue().to_pybytes(), **headers)[0] == 200
            server.stop()
    plainly, privately = kept(folder)
    assert [set(row) for row in plainly.rows] == [set(release.row)] * 3
    assert plainly.scores == privately.scores
    hashed = hashlib.blake2b(release.row["color"].encode(), key=b"k", digest_size=16).hexdigest()
    assert privately.rows == [{"color": hashed, "seats": release.row["seats"], "wet": release.row["wet"]}] * 3


def test_fields_that_must_not_be_kept_are_not(release, tmp_path):
    folder = tmp_path / "tiny" / "v1"
    variables = {
        "PENSTOCK_LOG_DIR": str(folder),
        "PENSTOCK_LOG": '{"drop": ["id"], "hash": ["color", "seats"]}',
        "PENSTOCK_LOG_KEY": "k",
    }
    with serving(release, tmp_path / "run", **variables) as server:
        server.predict({**release.row, "id": "SECRET", "color": "red", "seats": None})
        server.predict({**release.row, "idd": "SECRET"})  # a misspelt name
        server.predict({**release.row, "id": "SECRET", "color": "SECRET"})
        server.predict(["SECRET"])
        server.predict(b'{"id": "SECRET"')
        server.predict(b"SECRET", **{"content-type": ARROW})
        server.stop()
    found = kept(folder)
    assert "SECRET" not in "".join(path.read_text() for path in folder.iterdir())
    hashed = hashlib.blake2b(b"red", key=b"k", digest_size=16).hexdigest()
    assert found[0].rows == [{**release.row, "color": hashed, "seats": None}]
    assert [record.status for record in found] == [200, 422, 422, 422, 400, 400]
    assert [len(record.rows) for record in found] == [1, 1, 1, 1, 0, 0]


def test_what_a_killed_server_left_is_closed_by_the_next_and_what_a_living_one_writes_is_not(release, tmp_path):
    folder = tmp_path / "tiny" / "v1"
    with serving(release, tmp_path / "a", PENSTOCK_LOG_DIR=str(folder)) as killed:
        assert [killed.predict(release.row)[0] for _ in range(20)] == [200] * 20
        until(lambda: len(kept(folder, "*.open")) == 20)
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
    (left,) = folder.glob("*.open")
    with left.open("ab") as file:
        file.write(b'{"time_ns":1,"id":"cut o')  # what a kill in the middle of a write leaves
    with serving(release, tmp_path / "b", PENSTOCK_LOG_DIR=str(folder)) as living:
        until(lambda: not left.exists())
        assert len(kept(folder)) == 20
        living.predict(release.row)
        until(lambda: len(kept(folder, "*.open")) == 1)
        with serving(release, tmp_path / "c", PENSTOCK_LOG_DIR=str(folder)):
            time.sleep(0.5)
            assert len(kept(folder, "*.open")) == 1  # of a process that lives
    assert len(kept(folder)) == 21


def test_segments_are_closed_by_size_and_by_time(tmp_path):
    dropped: list[int] = []
    log = PredictionLog(tmp_path / "p" / "v1", LogConfig(segment_mb=0.0005), dropped.append)
    for number in range(50):
        log.add(LINE % number)
        if number % 10 == 9:
            until(lambda number=number: numbers(tmp_path / "p" / "v1", "*")[-1:] == [number])
    until(lambda: len(list((tmp_path / "p" / "v1").glob("*.jsonl"))) >= 3)
    log.close()
    log.close()
    assert numbers(tmp_path / "p" / "v1") == list(range(50))

    log = PredictionLog(tmp_path / "p" / "v2", LogConfig(segment_seconds=0.3), dropped.append)
    log.add(LINE % 1)
    until(lambda: numbers(tmp_path / "p" / "v2", "*.jsonl") == [1])
    log.close()
    assert list((tmp_path / "p" / "v2").glob("*.open")) == []
    assert dropped == []


def test_old_segments_are_removed_by_age_and_by_size_over_all_releases_of_a_project(tmp_path):
    now = time.time()
    for release, age in (("v1", 5000), ("v1", 400), ("v2", 300), ("v2", 200), ("v3", 100)):
        path = tmp_path / release / f"{age}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 1000)
        os.utime(path, (now - age, now - age))
    (tmp_path / "v1" / "1-1.open").write_bytes(b"x" * 100_000)
    segments.retain(tmp_path, 1000, 3000)
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["1-1.open", "100.jsonl", "200.jsonl", "300.jsonl"]


@contextlib.contextmanager
def small_disk(folder: Path):
    """A file system of 64 kB. Where none may be mounted, the test is left out, and the one below has to do."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system may be mounted here: {made.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_costs_records_and_nothing_else(release, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk):
        folder = disk / "tiny" / "v1"
        with serving(release, tmp_path / "run", PENSTOCK_LOG_DIR=str(folder)) as server:
            sent = 0
            while not server.metric("penstock_log_dropped_total"):
                assert server.predict([release.row] * 10)[0] == 200
                sent += 1
                assert sent < 5000
            for _ in range(20):
                assert server.predict([release.row] * 10)[0] == 200
            sent += 20
            until(lambda: server.metric("penstock_log_dropped_total") + len(kept(folder, "*")) == sent)
            assert all(path.read_bytes().endswith(b"\n") for path in folder.iterdir() if path.stat().st_size)
            for path in folder.glob("*.jsonl"):
                path.unlink()
            ballast = next(folder.glob("*.open"))
            before = len(kept(folder, "*"))
            os.truncate(ballast, 0)  # room again
            server.predict(release.row)
            until(lambda: len(kept(folder, "*")) == 1)
            dropped = server.metric("penstock_log_dropped_total")
            assert dropped + before == sent
            server.stop()
            assert server.log.count("No space left") == 1
            assert "Traceback" not in server.log


def test_half_a_line_is_taken_back(tmp_path):
    """The disk takes 100 bytes, then it is full, then it has room again."""
    room = [100]

    def write(file: int, data: memoryview) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = os.write(file, data[: room[0]])
        room[0] -= done
        return done

    segment = segments.Segment(tmp_path, write)
    lines = b"".join(LINE % number for number in range(3))
    size, error = segment.append(lines)
    assert (size, error.errno) == (len(LINE % 0), errno.ENOSPC)
    assert numbers(tmp_path, "*.open") == [0]
    room[0] = 10**6
    assert segment.append(LINE % 7) == (len(LINE % 7), None)
    segment.close()
    assert numbers(tmp_path) == [0, 7]


def test_a_file_that_is_locked_is_somebodys(tmp_path):
    for name, content in (("1-1.open", LINE % 1 + b"half"), ("2-1.open", b"half"), ("3-1.open", LINE % 3)):
        (tmp_path / name).write_bytes(content)
    with (tmp_path / "3-1.open").open("rb") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)
        segments.adopt(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-1.jsonl", "3-1.open"]
    assert numbers(tmp_path) == [1]


def test_a_log_that_cannot_keep_up_drops_and_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("bentos.prediction_log.MOST_WAITING", 1000)
    monkeypatch.setattr("bentos.prediction_log.TICK", 30)
    dropped: list[int] = []
    log = PredictionLog(tmp_path / "p" / "v1", LogConfig(), dropped.append)
    for number in range(100):
        log.add(LINE % number)
    log.close()
    fit = 1000 // len(LINE % 0)
    assert numbers(tmp_path / "p" / "v1") == list(range(fit))
    assert sum(dropped) == 100 - fit
