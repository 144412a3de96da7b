"""What a shared ledger calls this machine. Its id is drawn once, and kept in the home: `<home>/host.json`.

A home that is moved stays the same machine. One that is copied has to lose the file, or both are one machine.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
from pathlib import Path

from penstock.errors import StorageError
from penstock.host import Host
from tasks.machine.settings import settings
from tasks.store import store


def own() -> Host:
    """This machine; a Host without id where nothing is shared. Raises StorageError if its id cannot be read or kept."""
    if not settings().shared:
        return Host()
    path, name = settings().home / "host.json", f"{socket.gethostname()}:{settings().home}"
    with store.readable_errors(path):
        if not path.is_file():
            content = json.dumps({"id": secrets.token_hex(6), "name": name})
            with contextlib.suppress(FileExistsError):  # another process was faster: then that one's is ours, too
                store.write_atomic(path, content.encode(), exclusive=True)
        return _read(path, name)


def _read(path: Path, name: str) -> Host:
    try:
        document = json.loads(path.read_bytes())
        return Host(id=document["id"], name=name, former=document["name"])
    except (ValueError, KeyError, TypeError):
        raise StorageError(
            "The file that says which machine this is cannot be read.",
            where=str(path),
            allowed='{"id": twelve hexadecimal digits, "name": text}; the id stands behind `#` in the ledger\'s events',
            next_step="put it back from a backup, or remove it: then this is a new machine for the ledger",
        ) from None
