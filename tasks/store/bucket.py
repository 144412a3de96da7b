"""A bucket of objects at a cloud's service, or at a server that speaks its protocol, through fsspec.

Names, retries and errors are the same for all of them, and are here. What is a service's own (which file system, how
an object's size is asked for, what its errors mean) is in `tasks/store/bucket_s3.py`, `tasks/store/bucket_gcs.py` and
`tasks/store/bucket_azure.py`. Addresses and credentials are the service's own variables. Every call is tried again
here, in one place (`tasks/store/patience.py`): the libraries below are told not to, since three loops inside one
another wait for minutes without a word.

A write that must not overwrite is a conditional one: the server decides between two writers. An answer that was lost
on its way is not a race that was lost; whoever creates an object has to read what is there before they think so
(`tasks/registry/ledger_store.py`).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from penstock.errors import ConfigError, PenstockError, StorageError
from tasks.machine.redaction import redacted
from tasks.machine.settings import settings
from tasks.store import patience, store
from tasks.store.objects import Entry
from tasks.store.patience import AwayError, patiently

T = TypeVar("T")

SECONDS = 20.0  # for one answer
SILENCE = 60.0  # for the next bytes of a download
CHANGED = ("LastModified", "last_modified", "mtime")  # what S3's, Azure's and Google's file systems call it
LISTING = 300.0  # for everything there is: a thousand names an answer
SLOWEST = 250_000  # bytes a second: what takes longer is tried again


class RefusedError(Exception):
    """The service has answered, and trying again will not help. The message says what is wrong."""


class Service(Protocol):
    """What is one service's own. ``path``: `bucket/prefix/name`. Methods raise what its libraries raise."""

    root: str  # bucket/prefix
    condition: str  # how it is told not to overwrite
    honoured_by: str
    login: str  # what to correct if it refuses

    def filesystem(self) -> Any:
        """Its fsspec file system: no retries of its own, no cache of listings."""

    def size(self, fs: Any, path: str, seconds: float) -> int: ...

    def names(self, fs: Any, path: str, seconds: float) -> list[str]:
        """The objects right under ``path``, without it."""

    def download(self, fs: Any, path: str, file: Path) -> None: ...

    def meaning(self, error: Exception) -> Exception | None:
        """AwayError, RefusedError, FileExistsError; None for what speaks for itself, such as FileNotFoundError."""


def bucket(url: str) -> Bucket:
    """The bucket at an address of one of `tasks.store.objects.BUCKETS`. Raises ConfigError."""
    scheme = urlsplit(url).scheme
    extra = {"s3": "s3", "gs": "gcs", "gcs": "gcs"}.get(scheme, "azure")
    try:
        if extra == "s3":
            from tasks.store.bucket_s3 import S3

            return Bucket(url, S3(url))
        if extra == "gcs":
            from tasks.store.bucket_gcs import Gcs

            return Bucket(url, Gcs(url))
        from tasks.store.bucket_azure import Azure

        return Bucket(url, Azure(url))
    except ImportError:
        raise ConfigError(
            f"A store at {scheme}:// needs packages that are not installed.",
            where="PENSTOCK_STORE",
            found=url,
            next_step=f"uv sync --extra {extra}, or pip install 'penstock[{extra}]'",
        ) from None


class Bucket:
    """`scheme://bucket/prefix`."""

    def __init__(self, url: str, service: Service) -> None:
        self.where, self._service = url.rstrip("/"), service

    def create(self, name: str, content: bytes) -> None:
        self._require_conditional()
        self._create(name, content)

    def write(self, name: str, content: bytes) -> None:
        self._call(lambda: self._fs.pipe_file(self._at(name), content, timeout=_seconds()))

    def read(self, name: str) -> bytes:
        return bytes(self._call(lambda: self._fs.cat_file(self._at(name), timeout=_seconds())))

    def upload(self, name: str, path: Path) -> None:
        seconds = _seconds() + path.stat().st_size / SLOWEST
        self._call(lambda: self._fs.put_file(str(path), self._at(name), timeout=seconds))

    def download(self, name: str, path: Path) -> None:
        self._call(lambda: self._service.download(self._fs, self._at(name), path))

    def size(self, name: str) -> int:
        return self._call(lambda: self._service.size(self._fs, self._at(name), _seconds()))

    def modified(self, name: str) -> float:
        return float(self._call(lambda: self._fs.modified(self._at(name))).timestamp())

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._call(lambda: self._fs.rm_file(self._at(name), timeout=_seconds()))

    def entries(self, folder: str) -> list[Entry]:
        found = self._call(lambda: self._fs.find(self._at(folder), detail=True, timeout=LISTING))
        start = len(self._at(""))
        return sorted(
            Entry(name[start:], one["size"], next(one[key] for key in CHANGED if key in one).timestamp())
            for name, one in found.items()
            if one["type"] == "file"
        )

    def names(self, folder: str) -> list[str]:
        return sorted(self._call(lambda: self._service.names(self._fs, self._at(folder).rstrip("/"), _seconds())))

    def _create(self, name: str, content: bytes) -> None:
        self._call(lambda: self._fs.pipe_file(self._at(name), content, mode="create", timeout=_seconds()))

    def _require_conditional(self) -> None:
        """Raise StorageError if the server overwrites what it was told not to: two writers would lose events.

        Asked once per machine and store.
        """
        mark = settings().copies / "conditional-writes"
        if mark.is_file():
            return
        for _ in range(2):
            try:
                self._create("conditional-writes", b"a server that writes this twice cannot keep a ledger\n")
            except FileExistsError:
                with store.readable_errors(mark):
                    store.write_atomic(mark, b"")
                return
        raise StorageError(
            "The server does not honour conditional writes, and so cannot keep a ledger that several people write.",
            where=self.where,
            found=f"it has overwritten an object in spite of `{self._service.condition}`",
            allowed=self._service.honoured_by,
            next_step="use another server, or a newer version of this one",
        )

    @functools.cached_property
    def _fs(self) -> Any:
        return self._service.filesystem()

    def _at(self, name: str) -> str:
        return f"{self._service.root}/{name}"

    def _call(self, do: Callable[[], T]) -> T:
        def once() -> T:
            try:
                return do()
            except (PenstockError, FileExistsError):
                raise
            except TimeoutError:  # fsspec's own, and aiohttp's
                raise AwayError("no answer in time") from None
            except ConnectionError as error:
                raise AwayError(short(error)) from None
            except Exception as error:
                meaning = self._service.meaning(error)
                if meaning is None:
                    raise
                if isinstance(meaning, RefusedError):
                    raise StorageError(
                        str(meaning), where=self.where, found=short(error), next_step=self._service.login
                    ) from None
                raise meaning from None

        return patiently(self.where, once)


def short(error: Exception) -> str:
    """A library's words as one line, without secrets."""
    return redacted((str(error).strip() or type(error).__name__).splitlines()[0])[:300]


def _seconds() -> float:
    """For how long one answer is waited for."""
    return min(SECONDS, patience.most())
