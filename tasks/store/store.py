"""Files under their content hash, written once, whole or not at all.

Reads and writes `<home>/store`. An object is `ab/<sha256><suffix>`, mode 0444. What was hashed once is hashed
again only when its size, mtime or inode has changed; that memory is `state.db` beside the objects, and losing it
costs time, never correctness.

Where a team shares a store (`PENSTOCK_STORE`), this folder is each machine's copy of what it has made or used: a file
that is not here is fetched from there when it is asked for (`tasks/store/shared.py`). Writing stays local; what is to
be seen by others is uploaded before anything that refers to it is published.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from penstock.errors import PenstockError, StorageError
from penstock.refs import FileRef
from tasks.machine.settings import settings


class Draft:
    """A file being written. Its ref is known once the `new_file` block has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ref: FileRef


@contextlib.contextmanager
def new_file(name: str) -> Iterator[Draft]:
    """A path to write to; when the block ends well, the file is in the store under its hash.

    Raises StorageError when the disk is full or not writable; nothing half-written is left behind.
    """
    with readable_errors(settings().store):
        folder = settings().store / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=folder, suffix=Path(name).suffix)
        os.close(handle)
        draft = Draft(Path(path))
        try:
            yield draft
            draft.ref = _adopt(draft.path, name)
        finally:
            draft.path.unlink(missing_ok=True)


def put_bytes(content: bytes, name: str) -> FileRef:
    with new_file(name) as draft:
        draft.path.write_bytes(content)
    return draft.ref


def put_json(value: Any, name: str) -> FileRef:
    """``value`` as JSON with sorted keys, so that equal values are one object. NaN is not JSON: it raises."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return put_bytes(text.encode(), name)


def path_of(ref: FileRef) -> Path:
    """Where a file is here, if it is here."""
    return settings().store / ref.sha256[:2] / (ref.sha256 + Path(ref.name).suffix)


def locate(ref: FileRef) -> Path:
    """Where a file is, to be read. One that only the shared store has is fetched; StorageError if nobody has it."""
    path = path_of(ref)
    if settings().shared:
        from tasks.store import shared

        shared.require_here(ref)
    return path


def read_bytes(ref: FileRef) -> bytes:
    """The bytes of ``ref``. Raises StorageError if they are gone or are not what they were."""
    if not intact(ref):
        raise StorageError(
            "A stored file is missing or damaged.",
            where=str(path_of(ref)),
            found=str(ref),
            next_step="run the command again: the step that made it will run afresh",
        )
    return locate(ref).read_bytes()


def discard(ref: FileRef) -> None:
    """Remove a file that nothing but what has just been read of it can ask for."""
    with readable_errors(path_of(ref)):
        path_of(ref).unlink(missing_ok=True)


def read_json(ref: FileRef) -> Any:
    return json.loads(read_bytes(ref))


def intact(*refs: FileRef) -> bool:
    """Whether all of these are there, byte for byte; in the shared store will do."""
    lacking = [ref for ref in refs if not is_here(ref)]
    if not lacking or not settings().shared:
        return not lacking
    from tasks.store import shared

    for ref in lacking:  # a damaged copy is of no use where the whole one can be fetched
        if path_of(ref).exists() and not is_here(ref):  # another process may have fetched it meanwhile
            path_of(ref).unlink(missing_ok=True)
    return shared.has(lacking)


def is_here(ref: FileRef) -> bool:
    """Whether this machine has the file, byte for byte."""
    path = path_of(ref)
    try:
        return path.stat().st_size == ref.size and digest(path) == ref.sha256
    except OSError:
        return False


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The file's hash, from memory if its size, mtime and inode are those of the last time."""

    def compute() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()

    return str(remembered(algorithm, path, compute))


def remembered(kind: str, path: Path, compute: Callable[[], Any]) -> Any:
    """``compute()``'s JSON value for a file, kept until the file changes."""
    with remembering() as memory:
        return memory.value(kind, path, compute)


class Memory:
    """What is known of files. ``connection`` is None where nothing can be remembered (a read-only home)."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self.connection = connection
        self.learnt: list[tuple[str, str, str, str]] = []

    def value(self, kind: str, path: Path, compute: Callable[[], Any]) -> Any:
        """As `remembered`."""
        status = path.stat()
        key = (kind, str(path), f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}")
        query = "SELECT value FROM memory WHERE kind = ? AND path = ? AND stamp = ?"
        row = self.connection and self.connection.execute(query, key).fetchone()
        if row:
            return json.loads(row[0])
        value = compute()
        self.learnt.append((*key, json.dumps(value)))
        return value

    def keep(self) -> None:
        """Write what was learnt at once: each commit waits for the disk."""
        if self.connection and self.learnt:
            with contextlib.suppress(sqlite3.Error):
                self.connection.executemany("INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?)", self.learnt)
                self.connection.commit()


@contextlib.contextmanager
def remembering() -> Iterator[Memory]:
    """The memory, for several files: what is learnt in the block is kept at its end."""
    with database() as connection:
        memory = Memory(connection)
        try:
            yield memory
        finally:
            memory.keep()


@contextlib.contextmanager
def database() -> Iterator[sqlite3.Connection | None]:
    """A connection to `state.db`, or None where it cannot be used (a read-only home)."""
    connection = None
    with contextlib.suppress(sqlite3.Error, OSError):
        settings().store.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(settings().store / "state.db", timeout=5)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS memory (kind TEXT, path TEXT, stamp TEXT, value TEXT, PRIMARY KEY (kind, path))"
        )
    try:
        yield connection
    finally:
        if connection:
            connection.close()


def _adopt(path: Path, name: str) -> FileRef:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    ref = FileRef(name=name, sha256=sha256, size=path.stat().st_size)
    target = path_of(ref)
    if is_here(ref):
        return ref
    target.parent.mkdir(parents=True, exist_ok=True)
    path.chmod(0o444)
    path.rename(target)
    sync_folder(target.parent)
    return ref


def write_atomic(path: Path, content: bytes, *, exclusive: bool = False) -> None:
    """Write ``path`` whole or not at all. ``exclusive``: raise FileExistsError if it is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        if exclusive:
            os.link(draft, path)  # fails if the name is taken, and the content is complete when the name appears
        else:
            draft.rename(path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def readable_errors(where: Path) -> Iterator[None]:
    """Turns the operating system's errors about a place into StorageError."""
    try:
        yield
    except PenstockError:
        raise
    except OSError as error:
        elsewhere = "set PENSTOCK_HOME to a folder that can be written"
        kept = "; then run the command again: what was finished is kept"
        steps = {errno.ENOSPC: f"free some space{kept}", errno.EDQUOT: f"free some of the quota{kept}"}
        steps |= dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR), elsewhere)
        raise StorageError(
            f"A file could not be written: {os.strerror(error.errno) if error.errno else error}.",
            where=str(error.filename or where),
            next_step=steps.get(error.errno or 0, "see the message, then run the command again"),
        ) from error
