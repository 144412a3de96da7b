"""S3's own part of a bucket (`tasks/store/bucket.py`), through s3fs.

Address, region and credentials are AWS's own: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, a profile, a
role. botocore asks before it sends a body (`Expect: 100-continue`), and waits for that answer without an end, so each
call is given one.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import s3fs
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from tasks.store.bucket import RefusedError, short
from tasks.store.patience import AwayError

AWAY = {errno.EREMOTEIO, errno.EBUSY, errno.EIO}  # 500, 409 and 503, and what s3fs has no number for: 502, 504


class S3:
    """`s3://bucket/prefix`."""

    condition = "If-None-Match: *"
    honoured_by = "Amazon S3, or a server that documents `If-None-Match` for PutObject"
    login = "correct PENSTOCK_STORE, AWS_ENDPOINT_URL or the credentials (AWS_ACCESS_KEY_ID, ~/.aws)"

    def __init__(self, url: str) -> None:
        self.root = url.removeprefix("s3://").rstrip("/")

    def filesystem(self) -> Any:
        fs = s3fs.S3FileSystem(
            use_listings_cache=False,
            skip_instance_cache=True,
            config_kwargs={"retries": {"total_max_attempts": 1}, "max_pool_connections": 32},
        )
        fs.retries = 1
        return fs

    def size(self, fs: Any, path: str, seconds: float) -> int:
        bucket, _, key = path.partition("/")
        return int(fs.call_s3("head_object", Bucket=bucket, Key=key, timeout=seconds)["ContentLength"])

    def names(self, fs: Any, path: str, seconds: float) -> list[str]:
        try:
            found = fs.ls(path, detail=True, refresh=True, timeout=seconds)
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                raise
            return []
        return [one["name"].rpartition("/")[2] for one in found if one["type"] == "file"]

    def download(self, fs: Any, path: str, file: Path) -> None:
        fs.get_file(path, str(file))

    def meaning(self, error: Exception) -> Exception | None:
        if isinstance(error, (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)):
            return RefusedError("There are no credentials for the shared store.")
        if isinstance(error, (boto.ReadTimeoutError, boto.ConnectTimeoutError)):
            return AwayError("no answer in time")
        if isinstance(error, boto.EndpointConnectionError):
            address = urlsplit(str(error.kwargs.get("endpoint_url", "")))
            return AwayError(f"no connection to {address.scheme}://{address.netloc}")
        if isinstance(error, (boto.ConnectionError, boto.HTTPClientError, ResponseParserError)):
            return AwayError(short(error))
        if isinstance(error, boto.BotoCoreError):
            return RefusedError("The shared store cannot be used.")
        code = _code(error)
        if not code or not isinstance(error, OSError):
            return None  # not the server's: the local disk's, perhaps
        if code == "NoSuchBucket":
            return RefusedError("The bucket of the shared store does not exist.")
        if code == "PreconditionFailed":
            return FileExistsError(str(error))
        if error.errno in AWAY:
            return AwayError(short(error))
        if isinstance(error, PermissionError):
            return RefusedError("The shared store does not let this user in.")
        return None if isinstance(error, FileNotFoundError) else RefusedError("The shared store cannot be used.")


def _code(error: BaseException) -> str:
    """What the server called it; "" for an error that is not the server's."""
    response: Any = getattr(error.__cause__, "response", None)
    return str(response["Error"].get("Code", "")) if response else ""
