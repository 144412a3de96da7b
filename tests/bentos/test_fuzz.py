"""Bodies that nobody meant: every one gets an answer below 500, and the server does not grow.

1,500 bodies of a fixed seed; `-m drill` asks with 10,000 of another.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.bentos.conftest import ARROW, JSON, Running, serving

GROWTH_MB = 64  # that the server may have after the fuzzing more than before, be there 1,500 bodies or 10,000
VALUES = [
    None, True, False, 0, -1, 1.5, 2**53, 2**63, 2**64, -(2**63), 10**30, 1e308, -0.0, "", "red", "x" * 5000, "\x00",
    "é", "\ud7ff", [], {}, [[]], {"size": 1}, [None] * 50, "NaN", "1", "\u2028", ":",
]  # fmt: skip
PIECES = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"NaN", b"-", b"1e999", b"\xff", b"\x00",
    b"\n", b"null", b'"size":', b'"size"', b"9" * 400, b"[" * 1100, b'{"a":' * 300,
]  # fmt: skip


def arrow_body(row: dict) -> bytes:
    import pyarrow as pa

    table = pa.Table.from_pylist([row] * 20)
    columns = [table["color"].dictionary_encode(), table["size"], table["seats"], table["wet"]]
    table = pa.table(dict(zip(["color", "size", "seats", "wet"], columns, strict=True)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def spoiled(random: random.Random, body: bytes, pieces: list[bytes]) -> bytes:
    found = bytearray(body)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(found) + 1)
        kind = random.randrange(5)
        if kind == 0:
            found[at : at + random.randint(1, 30)] = b""
        elif kind == 1:
            found[at:at] = random.choice(pieces)
        elif kind == 2 and at < len(found):
            found[at] = random.randrange(256)
        elif kind == 3:
            found[at:at] = found[at : at + random.randint(1, 60)]
        elif kind == 4:
            found[at : at + 4] = random.choice(
                [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", bytes(4)]
            )
    return bytes(found)


def bodies(row: dict, seed: int, count: int):
    """(content type, body), of which most are nearly right."""
    chance = random.Random(seed)
    good = [json.dumps(row).encode(), json.dumps([row] * 12).encode(), json.dumps([{**row, "id": "a:b"}]).encode()]
    stream = arrow_body(row)
    for _ in range(count):
        kind = chance.randrange(4)
        if kind == 0:
            changed = {**row, chance.choice([*row, "id", "other"]): chance.choice(VALUES)}
            yield JSON, json.dumps([changed] * chance.choice([1, 1, 20]), allow_nan=True).encode()
        elif kind == 1:
            yield JSON, spoiled(chance, chance.choice(good), PIECES)
        elif kind == 2:
            yield ARROW, spoiled(chance, stream, [bytes(8), b"\xff" * 8, chance.randbytes(16)])
        else:
            yield chance.choice([JSON, ARROW]), chance.randbytes(chance.randint(0, 200))


def resident_mb(server: Running) -> float:
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@pytest.mark.parametrize(("seed", "count"), [(1, 1500), pytest.param(2, 10_000, marks=pytest.mark.drill)])
def test_no_body_breaks_the_server(release, tmp_path, seed, count):
    with serving(release, tmp_path, PENSTOCK_LOG_DIR=str(tmp_path / "tiny" / "v1")) as server:
        for kind, body in bodies(release.row, 0, 100):  # what the first ones load is no growth
            server.call("POST", "/v1/predict", body, **{"content-type": kind})
        before = resident_mb(server)
        connection = server.client.connection()
        seen: dict[int, int] = {}
        for number, (kind, body) in enumerate(bodies(release.row, seed, count)):
            route = "explain" if number % 10 == 0 else "predict"
            connection.request("POST", f"/v1/{route}", body, {"content-type": kind})
            answer = connection.getresponse()
            content = json.loads(answer.read())
            assert answer.status in (200, 400, 413, 422), (answer.status, body)
            assert "error" in content or content["probabilities" if route == "predict" else "margins"]
            seen[answer.status] = seen.get(answer.status, 0) + 1
        connection.close()
        assert set(seen) >= {200, 400, 422}  # it was no fuzzing otherwise
        assert resident_mb(server) - before < GROWTH_MB
        assert server.metric("penstock_failed_requests_total") == 0
        server.stop()
        assert "Traceback" not in server.log
