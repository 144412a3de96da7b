"""Which files of the shared store are needed: a conservative mark from every record in it.

As in the home (`tasks/operations/garbage_marks.py`), records are read as bytes and every SHA-256 in them counts. The
roots are the ledgers, the small objects of `tasks.store.shared.NOTES`, and every stored JSON document that one of them
leads to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import PurePosixPath
from typing import Any

from penstock.errors import StorageError
from tasks.machine.settings import settings
from tasks.operations.garbage_marks import SHA256
from tasks.store import store
from tasks.store.objects import Entry, objects
from tasks.store.shared import JOBS

CHUNK = 64  # objects between two looks whether we still may


class Reader:
    """The store's small objects, each read once. ``alive`` is called now and then, and raises to break off."""

    def __init__(self, files: Iterable[Entry], alive: Callable[[], object]) -> None:
        self.files = {PurePosixPath(entry.name).stem: entry for entry in files}
        self.alive = alive
        self._names: dict[str, list[str]] = {}  # by object, the hashes in it

    def needed(self, roots: Iterable[str], left_out: dict[str, set[str]]) -> set[str]:
        """The SHA-256 of every file that these objects lead to.

        ``left_out``: by the SHA-256 of a stored record, what that one alone does not keep. Raises StorageError if a
        record is damaged: then nothing is known.
        """
        found: set[str] = set()
        waiting = {sha256 for names in self._read(list(roots)) for sha256 in names}
        while waiting:
            found |= waiting
            documents = [sha256 for sha256 in sorted(waiting) if self._is_document(sha256)]
            named = self._read([self.files[sha256].name for sha256 in documents])
            pairs = zip(documents, named, strict=True)
            waiting = {name for sha256, names in pairs for name in names if name not in left_out.get(sha256, ())}
            waiting -= found
        return found

    def _is_document(self, sha256: str) -> bool:
        return sha256 in self.files and self.files[sha256].name.endswith(".json")

    def _read(self, names: list[str]) -> list[list[str]]:
        new = [name for name in names if name not in self._names]
        with ThreadPoolExecutor(JOBS) as pool:
            for start in range(0, len(new), CHUNK):
                self.alive()
                part = new[start : start + CHUNK]
                waiting: list[Any] = [pool.submit(copy_context().run, _content, name) for name in part]
                for name, content in zip(part, waiting, strict=True):
                    self._names[name] = [word.decode() for word in SHA256.findall(content.result())]
        return [self._names[name] for name in names]


def projects() -> list[str]:
    """Those that have a ledger in the shared store."""
    return sorted({entry.name.split("/")[1] for entry in objects().entries("ledger")})


def _content(name: str) -> bytes:
    """What an object holds: from its copy here, if there is one. Nothing of one that is gone."""
    folder, _, rest = name.partition("/")
    if folder == "ledger":
        return (settings().ledger / rest).read_bytes()
    sha256 = PurePosixPath(name).stem
    copy = settings().store / rest
    if folder == "store" and copy.is_file() and store.digest(copy) == sha256:
        return copy.read_bytes()
    try:
        content = objects().read(name)
    except FileNotFoundError:
        return b""
    if folder == "store" and hashlib.sha256(content).hexdigest() != sha256:
        raise StorageError(
            "A record in the shared store is damaged, so nothing is freed: what it names is not known.",
            where=f"{objects().where}/{name}",
            next_step="remove it there, and put it back from a machine that has it whole",
        )
    return content
