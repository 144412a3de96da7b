"""The prediction log as its readers see it: one record for each request that a release answered or refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Record:
    """One request and its answer. ``request`` is its JSON body, or None where the log does not keep it as JSON."""

    id: str
    time_ns: int
    model: str
    environment: str
    shadow: bool
    replay: bool
    status: int
    request: bytes | None
    response: dict[str, Any]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows that were asked about; empty where they were not kept."""
        found = json.loads(self.request) if self.request else []
        return found if isinstance(found, list) else [found]

    @property
    def scores(self) -> list[float]:
        """The probabilities, NaN for one that is none; empty if the request was refused."""
        found = self.response.get("probabilities") or []
        return [float("nan") if score is None else float(score) for score in found]

    @property
    def decisions(self) -> list[bool]:
        return list(self.response.get("predictions") or [])


def records(lines: Iterable[bytes]) -> Iterator[Record]:
    """The records of whole lines. A line that is none, such as the cut-off last one, is passed over."""
    for line in lines:
        try:
            found = json.loads(line)
            request = found.get("request")
            yield Record(
                id=found["id"],
                time_ns=found["time_ns"],
                model=found["model"],
                environment=found["environment"],
                shadow=found["shadow"],
                replay=found["replay"],
                status=found["status"],
                request=None if request is None else json.dumps(request).encode(),
                response=found["response"] or {},
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
