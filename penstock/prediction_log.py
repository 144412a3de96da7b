"""Reads the prediction log that servers write: records out of the lines of its segments.

A line is one request and its answer, see `bentos/prediction_log.py`. The last line of a segment that is still open may
be cut off; it is left out. Rows and scores are parsed when they are asked for, because counting needs neither.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

REQUEST, RESPONSE = (b',"request":', b',"request_arrow":'), b',"response":'


@dataclass(frozen=True)
class Record:
    """One request. ``environment``: production, staging or empty; ``shadow``: a mirrored copy, whose answer nobody
    got; ``replay``: sent by a deployment. ``request`` and ``response`` are raw members of the line."""

    time_ns: int
    id: str
    model: str
    environment: str
    shadow: bool
    replay: bool
    status: int
    request: bytes
    response: bytes

    @cached_property
    def answer(self) -> dict[str, Any]:
        """The response."""
        return json.loads(self.response)  # type: ignore[no-any-return]

    @property
    def scores(self) -> list[Any]:
        """For each row its probability, that of every class, or the number that was predicted, as the client got them;
        none if the request was refused."""
        return self.answer.get("probabilities", self.decisions)  # type: ignore[no-any-return]

    @property
    def decisions(self) -> list[Any]:
        """The predictions: truth values, classes or numbers."""
        return self.answer.get("predictions", [])  # type: ignore[no-any-return]

    @cached_property
    def rows(self) -> list[Any]:
        """The rows that were sent, without the fields that the log does not keep; none if the request was not kept."""
        member = json.loads(b"{" + self.request + b"}")
        if "request_arrow" in member:
            return _arrow_rows(base64.b64decode(member["request_arrow"]))
        found = member["request"]
        return found if isinstance(found, list) else [] if found is None else [found]


def records(lines: Iterable[bytes]) -> Iterator[Record]:
    """The records of ``lines``, in their order.

    Raises ValueError for a whole line that is none: a closed segment has only lines that its writer finished.
    """
    for line in lines:
        if line.endswith(b"\n"):
            yield _record(line)


def _record(line: bytes) -> Record:
    starts = [at for at in map(line.find, REQUEST) if at >= 0]
    end = line.rfind(RESPONSE)  # the last: a request may have a field of that name, and a response has none
    if not starts or end < min(starts):
        raise ValueError(f"not a line of a prediction log: {line[:100]!r}")
    start = min(starts)
    try:
        facts = json.loads(line[:start] + b"}")
        return Record(**facts, request=line[start + 1 : end], response=line[end + len(RESPONSE) : -2])
    except (ValueError, TypeError):
        raise ValueError(f"not a line of a prediction log: {line[:100]!r}") from None


def _arrow_rows(stream: bytes) -> list[Any]:
    """The rows of an Arrow stream; none if it was refused because it is none."""
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(stream) as reader:
            table = reader.read_all()
        kinds = [pa.timestamp("us") if pa.types.is_timestamp(kind) else kind for kind in table.schema.types]
        rows = table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))), safe=False).to_pylist()
    except (ValueError, OSError, pa.ArrowException):
        return []
    # times are texts, as in JSON
    return [{name: one.isoformat() if isinstance(one, date) else one for name, one in row.items()} for row in rows]
