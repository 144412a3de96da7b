"""What a team shares, as named objects: in a bucket (`tasks/store/bucket.py`) or in a folder that all of them mount.

    store/ab/<sha256><suffix>     files under their hash, as in `<home>/store`
    cache/<key>                   what a task made, by its cache key
    ledger/<project>/000001.json  one event each, created once
    reports/..., mlflow/...       where the report of a release is; which MLflow was told of it
    garbage/...                   what is to be freed, and by whom: see `tasks/operations/shared_garbage.py`

The names are those under a home, so that a plain copy of a home's folders moves them. An object is written whole or
not at all. Whoever writes one that refers to others writes the others first.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from penstock.errors import ConfigError, StorageError
from tasks.machine.settings import settings
from tasks.machine.store_endpoint import OF_ACCOUNTS
from tasks.store import store

BUCKETS = ("s3", "gs", "gcs", *OF_ACCOUNTS)


class Entry(NamedTuple):
    """An object that is there: its size in bytes, and since when (seconds since 1970, by the store's own clock)."""

    name: str
    size: int
    modified: float


class Objects(Protocol):
    """Objects by name. Raises FileNotFoundError for one that is not there, UnreachableError for a store that is away,
    StorageError for one that refuses."""

    where: str

    def create(self, name: str, content: bytes) -> None:
        """Write an object that is not there yet; FileExistsError if it is. One of several writers succeeds."""

    def write(self, name: str, content: bytes) -> None: ...

    def read(self, name: str) -> bytes: ...

    def upload(self, name: str, path: Path) -> None: ...

    def download(self, name: str, path: Path) -> None: ...

    def size(self, name: str) -> int: ...

    def names(self, folder: str) -> list[str]:
        """The names of the objects right under ``folder``, sorted; none where there is no such folder."""

    def entries(self, folder: str) -> list[Entry]:
        """Every object below ``folder``, by name; none where there is no such folder."""

    def modified(self, name: str) -> float:
        """When it was written, or written again: seconds since 1970 by the store's own clock."""

    def delete(self, name: str) -> None:
        """Away with an object; nothing happens if it is not there."""


class Folder:
    """A folder on a file system that several machines mount. It has to be there: an empty mount point is not it."""

    def __init__(self, path: Path) -> None:
        self.where, self._path = str(path), path

    def create(self, name: str, content: bytes) -> None:
        with store.readable_errors(self._path):
            try:
                store.write_atomic(self._at(name), content, exclusive=True)
                return
            except FileExistsError:
                pass
        raise FileExistsError(name)

    def write(self, name: str, content: bytes) -> None:
        with store.readable_errors(self._path):
            store.write_atomic(self._at(name), content)

    def read(self, name: str) -> bytes:
        return self._at(name).read_bytes()

    def upload(self, name: str, path: Path) -> None:
        target = self._at(name)
        with store.readable_errors(self._path):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
            try:
                with os.fdopen(handle, "wb") as out, path.open("rb") as source:
                    shutil.copyfileobj(source, out)
                    out.flush()
                    os.fsync(out.fileno())
                Path(draft).chmod(0o444)
                Path(draft).rename(target)
                store.sync_folder(target.parent)
            finally:
                Path(draft).unlink(missing_ok=True)

    def download(self, name: str, path: Path) -> None:
        shutil.copyfile(self._at(name), path)

    def size(self, name: str) -> int:
        return self._at(name).stat().st_size

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in self._at(folder).glob("[!.]*") if path.is_file())

    def entries(self, folder: str) -> list[Entry]:
        found = []
        for at, _, names in os.walk(self._at(folder)):
            for path in (Path(at, name) for name in names if not name.startswith(".")):
                with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                    status = path.stat()
                    found.append(Entry(str(path.relative_to(self._path)), status.st_size, status.st_mtime))
        return sorted(found)

    def modified(self, name: str) -> float:
        return self._at(name).stat().st_mtime

    def delete(self, name: str) -> None:
        with store.readable_errors(self._path):
            self._at(name).unlink(missing_ok=True)

    def _at(self, name: str) -> Path:
        if not self._path.is_dir():
            raise StorageError(
                "The folder of the shared store is not there.",
                where=self.where,
                next_step="mount or make it, or correct PENSTOCK_STORE",
            )
        return self._path / name


def objects() -> Objects:
    """The store that `PENSTOCK_STORE` names. Raises ConfigError if it cannot be one."""
    return _objects(settings().shared, str(settings().copies))


@functools.lru_cache(maxsize=4)
def _objects(url: str, _: str) -> Objects:
    parts = urlsplit(url)
    if parts.netloc and parts.scheme in BUCKETS:
        from tasks.store.bucket import bucket

        return bucket(url)
    path = Path(parts.path if parts.scheme == "file" else url)
    if parts.scheme not in ("", "file") or not path.is_absolute():
        raise ConfigError(
            "The store's address is not one that can be used.",
            where="PENSTOCK_STORE",
            found=url,
            allowed="s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, "
            "abfs://container@account.dfs.core.windows.net/prefix, or the absolute path of a folder",
        )
    return Folder(path)
