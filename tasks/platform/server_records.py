"""What this checkout has put onto a Prefect server: one file a server, for on another there is nothing of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tasks.machine.settings import settings
from tasks.store.store import write_atomic


def read(name: str) -> dict[str, Any]:
    """The record ``name`` of the server that the environment points to; {} if there is none or it is spoiled."""
    try:
        found = json.loads(_path(name).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(name: str, record: dict[str, Any]) -> None:
    if read(name) != record:
        write_atomic(_path(name), json.dumps(record).encode())


def _path(name: str) -> Path:
    from tasks.platform.platform import named_server

    server = named_server()
    other = "-" + hashlib.sha256(server.encode()).hexdigest()[:12] if server else ""
    return settings().prefect_home / f"{name}{other}.json"
