"""Takes a request's body from the client: its kind, and all of its bytes up to the limit."""

from __future__ import annotations

import asyncio
from typing import Any

from bentos.refusal import Refusal

JSON, ARROW = b"application/json", b"application/vnd.apache.arrow.stream"
SECONDS = 5.0  # within which a body has to arrive
LONGEST_SHOWN = 100


class GoneError(Exception):
    """The client went away: there is nobody to answer."""


def kind(headers: dict[bytes, bytes]) -> bytes:
    """The media type of the body, JSON or ARROW. Raises Refusal for any other."""
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise Refusal(415, "unsupported content encoding", allowed="none: send the body as it is")
    given = headers.get(b"content-type", b"")
    if given in (JSON, ARROW):
        return given
    plain = given.partition(b";")[0].strip().lower()
    if plain not in (JSON, ARROW):
        found = plain[:LONGEST_SHOWN].decode("latin-1")
        allowed = f"{JSON.decode()}, {ARROW.decode()}"
        raise Refusal(415, "unsupported content type", found=found, allowed=allowed)
    return plain


async def read(headers: dict[bytes, bytes], receive: Any, limit: int) -> bytes:
    """The whole body. Raises Refusal if it is larger than ``limit`` or too slow, GoneError if the client leaves."""
    length = headers.get(b"content-length")
    if length is not None and (not length.isdigit() or int(length) > limit):
        raise _too_large(limit)
    message = await receive()
    if not message.get("more_body", False):
        if message["type"] == "http.disconnect":
            raise GoneError
        body: bytes = message["body"]
        if len(body) > limit:
            raise _too_large(limit)
        return body
    try:
        async with asyncio.timeout(SECONDS):
            return await _rest(message["body"], receive, limit)
    except TimeoutError:
        raise Refusal(408, "body too slow", allowed=f"{SECONDS:g} seconds") from None


async def _rest(first: bytes, receive: Any, limit: int) -> bytes:
    parts, size, more = [first], len(first), True
    while more:
        if size > limit:  # a chunked body says no length beforehand
            raise _too_large(limit)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
    if size > limit:
        raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "body too large", allowed=f"{limit} bytes")
