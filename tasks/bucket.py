"""A bucket of S3, or of a server that speaks its protocol, through s3fs.

Address, region and credentials are AWS's own: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, a profile, a
role. Every call is tried again here, in one place (`tasks/patience.py`): the libraries below are told not to, since
three loops inside one another wait for minutes without a word.

A write that must not overwrite is a conditional one (`If-None-Match: *`): the server decides between two writers. An
answer that was lost on its way is not a race that was lost; whoever creates an object has to read what is there before
they think so (`tasks/ledger_store.py`).
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from penstock.errors import ConfigError, PenstockError, StorageError
from tasks import patience, store
from tasks.objects import Entry
from tasks.patience import AwayError, patiently
from tasks.redaction import redacted
from tasks.settings import settings

T = TypeVar("T")

# botocore asks before it sends a body (`Expect: 100-continue`), and waits for the answer without an end
SECONDS = 20.0
LISTING = 300.0  # for everything there is: a thousand names an answer
SLOWEST = 250_000  # bytes a second: what takes longer is tried again

AWAY = {errno.EREMOTEIO, errno.EBUSY, errno.EIO}  # 500, 409 and 503, and what s3fs has no number for: 502, 504


class Bucket:
    """`s3://bucket/prefix`."""

    def __init__(self, url: str) -> None:
        try:
            import s3fs
        except ImportError:
            raise ConfigError(
                "A store on S3 needs packages that are not installed.",
                where="PENSTOCK_STORE",
                found=url,
                next_step="uv sync --extra s3, or pip install 'penstock[s3]'",
            ) from None
        self.where = url.rstrip("/")
        self._root = self.where.removeprefix("s3://")
        self._fs = s3fs.S3FileSystem(
            use_listings_cache=False,
            skip_instance_cache=True,
            config_kwargs={"retries": {"total_max_attempts": 1}, "max_pool_connections": 32},
        )
        self._fs.retries = 1

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
        self._call(lambda: self._fs.get_file(self._at(name), str(path)))

    def size(self, name: str) -> int:
        bucket, _, prefix = self._at(name).partition("/")
        head = {"Bucket": bucket, "Key": prefix, "timeout": _seconds()}
        return int(self._call(lambda: self._fs.call_s3("head_object", **head))["ContentLength"])

    def modified(self, name: str) -> float:
        return float(self._call(lambda: self._fs.modified(self._at(name), refresh=True)).timestamp())

    def delete(self, name: str) -> None:
        self._call(lambda: self._fs.rm_file(self._at(name), timeout=_seconds()))

    def entries(self, folder: str) -> list[Entry]:
        found = self._call(lambda: self._fs.find(self._at(folder), detail=True, timeout=LISTING))
        start = len(self._root) + 1
        return sorted(Entry(name[start:], one["size"], one["LastModified"].timestamp()) for name, one in found.items())

    def names(self, folder: str) -> list[str]:
        try:
            found = self._call(lambda: self._fs.ls(self._at(folder), detail=True, refresh=True, timeout=_seconds()))
        except FileNotFoundError:
            return []
        return sorted(one["name"].rpartition("/")[2] for one in found if one["type"] == "file")

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
            found="it has overwritten an object in spite of `If-None-Match: *`",
            allowed="Amazon S3, or a server that documents `If-None-Match` for PutObject",
            next_step="use another server, or a newer version of this one",
        )

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _call(self, do: Callable[[], T]) -> T:
        def once() -> T:
            with self._translated():
                return do()

        return patiently(self.where, once)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """What s3fs, botocore and aiohttp raise, as AwayError (try again), StorageError or a file error."""
        from botocore import exceptions as boto
        from botocore.parsers import ResponseParserError
        from fsspec.exceptions import FSTimeoutError

        try:
            yield
        except (PenstockError, FileExistsError):
            raise
        except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
            raise self._refused("There are no credentials for the shared store.", error) from None
        except (boto.ReadTimeoutError, boto.ConnectTimeoutError, FSTimeoutError, TimeoutError):
            raise AwayError("no answer in time") from None
        except boto.EndpointConnectionError as error:
            address = urlsplit(str(error.kwargs.get("endpoint_url", "")))
            raise AwayError(f"no connection to {address.scheme}://{address.netloc}") from None
        except (boto.ConnectionError, boto.HTTPClientError, ResponseParserError) as error:
            raise AwayError(_short(error)) from None
        except ConnectionError as error:
            raise AwayError(_short(error)) from None
        except boto.BotoCoreError as error:
            raise self._refused("The shared store cannot be used.", error) from None
        except OSError as error:
            code = _code(error)
            if code == "NoSuchBucket":
                raise self._refused("The bucket of the shared store does not exist.", error) from None
            if code == "PreconditionFailed":
                raise FileExistsError(str(error)) from None
            if code and error.errno in AWAY:
                raise AwayError(_short(error)) from None
            if isinstance(error, PermissionError) and code:
                raise self._refused("The shared store does not let this user in.", error) from None
            if isinstance(error, FileNotFoundError) or not code:
                raise  # not there; or the local disk's own error
            raise self._refused("The shared store cannot be used.", error) from None

    def _refused(self, what: str, error: Exception) -> StorageError:
        return StorageError(
            what,
            where=self.where,
            found=_short(error),
            next_step="correct PENSTOCK_STORE, AWS_ENDPOINT_URL or the credentials (AWS_ACCESS_KEY_ID, ~/.aws)",
        )


def _seconds() -> float:
    """For how long one answer is waited for."""
    return min(SECONDS, patience.most())


def _code(error: BaseException) -> str:
    """What the server called it; "" for an error that is not the server's."""
    response: Any = getattr(error.__cause__, "response", None)
    return str(response["Error"].get("Code", "")) if response else ""


def _short(error: Exception) -> str:
    return redacted((str(error).strip() or type(error).__name__).splitlines()[0])[:300]
