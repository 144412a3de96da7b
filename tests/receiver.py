"""A web server on loopback that keeps what is posted to it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from tests.loopback import Quiet, serving

SECRET = "xoxb-not-for-anybodys-eyes"  # the part of its address that nobody is to see


@contextlib.contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(the address of a web server, what was posted there)."""
    got: list[dict[str, Any]] = []

    class Answer(Quiet):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append({**body, "path": self.path, "type": self.headers["Content-Type"]})
            self.answer(status=status)

    with serving(Answer) as port:
        yield f"http://127.0.0.1:{port}/{SECRET}", got
