"""Answers as ASGI sends them: the status, the headers that every answer has, the body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

JSON, HTML = b"application/json", b"text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    media_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_reply(status: int, content: Any, *headers: tuple[bytes, bytes]) -> Reply:
    import orjson

    return Reply(status, orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), JSON, headers)


async def send_reply(send: Any, reply: Reply, identity: bytes, model: bytes) -> None:
    headers = [
        (b"content-type", reply.media_type),
        (b"content-length", b"%d" % len(reply.body)),
        (b"x-request-id", identity),
        (b"x-penstock-model", model),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
