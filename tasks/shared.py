"""The shared store's files: uploaded before anything refers to them, fetched when asked for, kept here within bounds.

`<home>/store` is each machine's copy. What is known to be in the shared store is remembered (`tasks/known.py`), so that
it is neither asked for nor uploaded again; what takes too much room here is thrown away (`tasks/copies.py`).

Only `tasks/store.py`, `tasks/caching.py` and `tasks/ledger_store.py` need to know that there is such a thing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

from penstock.errors import StorageError
from penstock.refs import FileRef
from tasks import copies, known, store
from tasks.objects import objects
from tasks.settings import settings

JOBS = 8
_reads_only: ContextVar[bool] = ContextVar("penstock_reads_only", default=False)


@contextlib.contextmanager
def only_read() -> Iterator[None]:
    """Inside this block the shared store is taken from, and given nothing: what is made stays on this machine.

    What a pull request's code has made must not be found by a release. It keeps honest code from it; what keeps other
    code from it is a key that may not write.
    """
    token = _reads_only.set(True)
    try:
        yield
    finally:
        _reads_only.reset(token)


def publish(refs: Iterable[FileRef]) -> None:
    """Upload what the shared store lacks of these. Raises StorageError for one that is neither here nor there."""
    if _reads_only.get():
        return
    lacking = _unknown(refs)
    _at_once(_upload, lacking)
    copies.keep_within_bounds(sum(ref.size for ref in lacking))


def publish_record(ref: FileRef) -> None:
    """Upload a JSON record: first every file that it names, then itself."""
    if _reads_only.get():
        raise StorageError("The shared store is only read here.", where=objects().where, found=str(ref))
    if not _unknown([ref]) or _is_there(ref):
        return  # then so are the files it names
    if not store.is_here(ref):
        raise _gone(ref)
    publish(_named(json.loads(store.path_of(ref).read_bytes())))
    publish([ref])


def has(refs: Iterable[FileRef]) -> bool:
    """Whether the shared store has all of these, of the right size."""
    return all(_at_once(_is_there, _unknown(refs)))


def require_here(ref: FileRef) -> None:
    """Fetch a file that this machine does not have. Raises StorageError if it is nowhere, or damaged there."""
    path = store.path_of(ref)
    try:
        used = path.stat()
    except OSError:
        _fetch(ref)
        return
    if time.time() - used.st_atime > 60:
        with contextlib.suppress(OSError):  # not the time of change: the memory of its hash goes by that
            os.utime(path, ns=(time.time_ns(), used.st_mtime_ns))


def write_note(name: str, content: bytes) -> None:
    """Write a small object, if it is not known to be there with this very content."""
    if _reads_only.get():
        return
    stamp = f"{name}={hashlib.sha256(content).hexdigest()}"
    if stamp not in known.among([stamp]):
        objects().write(name, content)
        known.remember(stamp)


def read_note(name: str) -> bytes | None:
    """A small object's content; None if there is none."""
    try:
        return objects().read(name)
    except FileNotFoundError:
        return None


def _fetch(ref: FileRef) -> None:
    path = store.path_of(ref)
    with store.readable_errors(path):
        (settings().store / "tmp").mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=settings().store / "tmp", suffix=path.suffix)
        os.close(handle)
        draft = Path(name)
        try:
            try:
                objects().download(_name(ref), draft)
            except FileNotFoundError:
                known.forget(_name(ref))
                raise _gone(ref) from None
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != ref.sha256:
                raise StorageError(
                    "A file in the shared store is damaged: its bytes are not what its name says.",
                    where=f"{objects().where}/{_name(ref)}",
                    found=found,
                    next_step="remove it there, and put it back from a machine that has it whole",
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.chmod(0o444)
            draft.rename(path)
            store.sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)
    known.remember(_name(ref))
    copies.keep_within_bounds(ref.size)


def _upload(ref: FileRef) -> None:
    if _is_there(ref):
        return
    if not store.is_here(ref):
        raise _gone(ref)
    objects().upload(_name(ref), store.path_of(ref))
    known.remember(_name(ref))


def _is_there(ref: FileRef) -> bool:
    try:
        there = objects().size(_name(ref)) == ref.size
    except FileNotFoundError:
        return False
    if there:
        known.remember(_name(ref))
    return there


def _named(value: Any) -> Iterator[FileRef]:
    """Every file that a JSON document names."""
    if isinstance(value, dict):
        if value.keys() == FileRef.model_fields.keys():
            yield FileRef.model_validate(value)
        else:
            for item in value.values():
                yield from _named(item)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item)


def _unknown(refs: Iterable[FileRef]) -> list[FileRef]:
    """Those of which this machine does not know that the shared store has them."""
    wanted = {_name(ref): ref for ref in refs}
    there = known.among(wanted)
    return [ref for name, ref in wanted.items() if name not in there]


def _at_once(do: Any, refs: list[FileRef]) -> list[Any]:
    if len(refs) < 2:
        return [do(ref) for ref in refs]
    with ThreadPoolExecutor(JOBS) as pool:
        running = [pool.submit(copy_context().run, do, ref) for ref in refs]
        return [one.result() for one in running]


def _name(ref: FileRef) -> str:
    return f"store/{store.path_of(ref).relative_to(settings().store)}"


def _gone(ref: FileRef) -> StorageError:
    return StorageError(
        "A stored file is neither on this machine nor in the shared store.",
        where=f"{objects().where}/{_name(ref)}",
        found=str(ref),
        next_step="run the command again: the step that made it will run afresh",
    )
