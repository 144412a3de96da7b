"""The shared store's files: uploaded before anything refers to them, fetched when asked for, kept here within bounds.

`<home>/store` is each machine's copy. What is known to be in the shared store is remembered (`tasks/store/known.py`),
so that it is neither asked for nor uploaded again; what takes too much room here is thrown away
(`tasks/store/copies.py`). Files that are listed to be freed are written again by whoever is about to refer to them
(`tasks/operations/shared_garbage.py` says why that is enough).

Only `tasks/store/store.py`, `tasks/store/caching.py` and `tasks/registry/ledger_store.py` need to know that there is
such a thing.
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
from functools import partial
from pathlib import Path
from typing import Any

from penstock.errors import StorageError
from penstock.refs import FileRef
from tasks.machine.settings import settings
from tasks.store import copies, known, listed, store
from tasks.store.objects import objects

JOBS = 8
NOTES = ("cache", "reports", "mlflow")  # folders of small objects, which may name files: garbage collection reads them
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
    """Upload what the shared store lacks of these. Raises StorageError for one that is neither here nor there.

    What refers to them has to be written within a day: then nobody frees them before.
    """
    if _reads_only.get():
        return
    lacking, began = _unknown(refs), time.time()
    going = listed.names() if lacking else {}  # before anything is looked for: what is freed now is on a list, or gone
    _at_once(partial(_upload, going, began), lacking)
    copies.keep_within_bounds(sum(ref.size for ref in lacking))


def publish_record(ref: FileRef) -> None:
    """Upload a JSON record: first every file that it names, then itself."""
    if _reads_only.get():
        raise StorageError("The shared store is only read here.", where=objects().where, found=str(ref))
    require_here(ref)
    publish(_named(json.loads(store.path_of(ref).read_bytes())))
    publish([ref])


def has(refs: Iterable[FileRef]) -> bool:
    """Whether the shared store has all of these, of the right size."""
    lacking, began = _unknown(refs), time.time()
    going = listed.names() if lacking else {}
    there = _at_once(_is_there, lacking)
    for ref, found in zip(lacking, there, strict=True):
        if found and _name(ref) not in going:  # of what is about to go, nothing is taken for known
            known.remember(_name(ref), began)
    return all(there)


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
    """Write a small object of `NOTES`, if it is not known to be there with this very content.

    So one that is in use is written anew every day: its age says how long nobody has used it.
    """
    if name.partition("/")[0] not in NOTES:
        raise ValueError(f"nobody would look for what {name} refers to")
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
    copies.keep_within_bounds(ref.size)


def _upload(going: dict[str, float], began: float, ref: FileRef) -> None:
    name = _name(ref)
    if name in going:
        _keep(ref, going[name])
    elif not _is_there(ref):
        if not store.is_here(ref):
            raise _gone(ref)
        objects().upload(name, store.path_of(ref))
    known.remember(name, began)  # what is known of it was known when the lists were read


def _keep(ref: FileRef, then: float) -> None:
    """Write an object again that is listed to be freed, and return when nobody frees it any more.

    Whoever frees says so first, then looks which objects were written again, then frees the others. So: if nobody said
    so after this one was written, whoever does next finds it written again. Otherwise it may be gone, and is looked at
    once more when they have ended.
    """
    require_here(ref)
    while True:
        if not (_is_there(ref) and listed.was_used_again(_name(ref), then)):
            objects().upload(_name(ref), store.path_of(ref))
        if not listed.wait_for_sweeper() and _is_there(ref):
            return


def _is_there(ref: FileRef) -> bool:
    try:
        return objects().size(_name(ref)) == ref.size
    except FileNotFoundError:
        return False


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
