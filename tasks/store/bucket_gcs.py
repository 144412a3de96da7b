"""Google Cloud Storage's own part of a bucket (`tasks/store/bucket.py`), through gcsfs.

Credentials are Google's application default ones: `GOOGLE_APPLICATION_CREDENTIALS`, `gcloud auth application-default
login`, or the machine's own account. `STORAGE_EMULATOR_HOST` names another server, which is asked without any.
gcsfs raises FileNotFoundError with the address alone for every 404; whether that address is an object's or its
bucket's says what is missing.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import aiohttp
import requests
from gcsfs.core import GCSFileSystem
from gcsfs.retry import ChecksumError, HttpError, NonRetryableError
from google.auth import exceptions as auth

from tasks.store.bucket import SECONDS, SILENCE, RefusedError, short
from tasks.store.patience import AwayError

AWAY = {408, 429, 500, 502, 503, 504}
OF_THE_BUCKET = re.compile(r"\bb/[^/]+/o(\?name=[^/]*)?$")


class _Once(GCSFileSystem):
    """Without gcsfs's six tries of each request, whose number is fixed when its class is made."""

    _request = GCSFileSystem._request.__wrapped__
    _get_file_request = GCSFileSystem._get_file_request.__wrapped__


class Gcs:
    """`gs://bucket/prefix`."""

    condition = "ifGenerationMatch=0"
    honoured_by = "Google Cloud Storage, or a server that documents `ifGenerationMatch`"
    login = (
        "correct PENSTOCK_STORE, STORAGE_EMULATOR_HOST or the credentials (GOOGLE_APPLICATION_CREDENTIALS, or "
        "gcloud auth application-default login)"
    )

    def __init__(self, url: str) -> None:
        self.root = url.partition("://")[2].rstrip("/")

    def filesystem(self) -> Any:
        emulated = os.environ.get("STORAGE_EMULATOR_HOST", "") not in ("", "default")
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=SECONDS, sock_read=SILENCE)
        return _Once(
            token="anon" if emulated else "google_default",  # ways to log in
            use_listings_cache=False,
            skip_instance_cache=True,
            requests_timeout=timeout,
            session_kwargs={"trust_env": True},
        )

    def size(self, fs: Any, path: str, seconds: float) -> int:
        bucket, _, key = path.partition("/")
        return int(fs.call("GET", "b/{}/o/{}", bucket, key, json_out=True, fields="size", timeout=seconds)["size"])

    def names(self, fs: Any, path: str, seconds: float) -> list[str]:
        bucket, _, folder = path.partition("/")
        asked = {"prefix": f"{folder}/" if folder else None, "delimiter": "/", "json_out": True, "timeout": seconds}
        found: list[str] = []
        page: dict[str, Any] = {}
        while not page or page.get("nextPageToken"):
            page = fs.call("GET", "b/{}/o", bucket, pageToken=page.get("nextPageToken"), **asked)
            found += [one["name"].rpartition("/")[2] for one in page.get("items", [])]
        return [name for name in found if name]  # "": a mark that consoles make for an empty folder

    def download(self, fs: Any, path: str, file: Path) -> None:
        fs.get_file(path, str(file), concurrency=1)  # more of them ask for the size first, and for each part alone

    def meaning(self, error: Exception) -> Exception | None:
        if isinstance(error, FileNotFoundError):
            missing = OF_THE_BUCKET.search(str(error))
            return RefusedError("The bucket of the shared store does not exist.") if missing else None
        if isinstance(error, auth.DefaultCredentialsError):
            return RefusedError("There are no credentials for the shared store.")
        if isinstance(error, (auth.GoogleAuthError, HttpError, NonRetryableError)):
            return _answered(error)
        if isinstance(error, aiohttp.InvalidURL):
            return RefusedError("The shared store cannot be used.")
        # gcsfs makes a 502 an error of requests
        if isinstance(error, (aiohttp.ClientError, requests.RequestException, ChecksumError, json.JSONDecodeError)):
            return AwayError(short(error))
        if isinstance(error, ValueError):
            return RefusedError("The shared store cannot be used.")
        if isinstance(error, OSError) and error.errno is None and str(error).startswith("Forbidden"):
            return RefusedError("The shared store does not let this user in.")
        return None


def _answered(error: Exception) -> Exception:
    """What an answer of the store means, or of those who give credentials: a 401 stands for these, too."""
    code = int(getattr(error, "code", None) or 0)
    cause = error.__cause__ if isinstance(error.__cause__, auth.GoogleAuthError) else error
    if code in AWAY or isinstance(cause, auth.TransportError) or getattr(cause, "retryable", False):
        return AwayError(short(error))
    if code in (0, 401, 403):
        return RefusedError("The shared store does not let this user in.")
    return RefusedError("The shared store cannot be used.")
