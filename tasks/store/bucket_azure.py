"""Azure Blob Storage's own part of a bucket (`tasks/store/bucket.py`), through adlfs. Its buckets are called
containers.

Account and credentials are adlfs's variables: `AZURE_STORAGE_ACCOUNT_NAME` with `AZURE_STORAGE_ACCOUNT_KEY`,
`AZURE_STORAGE_SAS_TOKEN` or a service principal, or `AZURE_STORAGE_CONNECTION_STRING`; without any of these, whoever
`az login` or the machine says. adlfs's listings ask for more than names and do not tell a missing container from an
empty one: sizes and names are asked for below it, of the client that it has made.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from adlfs import AzureBlobFileSystem
from azure.core import exceptions as azure
from azure.storage.blob import BlobProperties
from fsspec.asyn import sync

from penstock.errors import ConfigError
from tasks.machine.store_endpoint import connection_parts
from tasks.store.bucket import SECONDS, SILENCE, RefusedError, short
from tasks.store.patience import AwayError

AWAY = {408, 429, 500, 502, 503, 504}
ACCOUNT, CONNECTION = "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"


class _Once(AzureBlobFileSystem):
    """Without the client's three tries, with pauses of 15 s and more; adlfs hands no such option on."""

    def do_connect(self) -> None:
        super().do_connect()
        self.service_client._config.retry_policy.total_retries = 0


class Azure:
    """`az://container/prefix`, or with its account `abfs://container@account.dfs.core.windows.net/prefix`."""

    condition = "If-None-Match: *"
    honoured_by = "Azure Blob Storage, or a server that documents `If-None-Match` for Put Blob"
    login = (
        f"correct PENSTOCK_STORE, {ACCOUNT} or the credentials (AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, "
        f"{CONNECTION}, or az login)"
    )

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        container, _, self._host = parts.netloc.rpartition("@") if "@" in parts.netloc else (parts.netloc, "", "")
        self.root = f"{container}{parts.path}".rstrip("/")
        self._account = self._host.partition(".")[0]
        self._require_account()

    def filesystem(self) -> Any:
        logging.getLogger("azure.identity").setLevel(logging.ERROR)  # a page of each way to log in that was tried
        return _Once(
            account_name=self._account or None,
            account_host=self._host.replace(".dfs.", ".blob.", 1) or None,
            connection_timeout=SECONDS,
            read_timeout=SILENCE,
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def size(self, fs: Any, path: str, seconds: float) -> int:
        async def asked() -> int:
            async with fs.service_client.get_blob_client(*path.split("/", 1)) as blob:
                return int((await blob.get_blob_properties()).size)

        return int(sync(fs.loop, asked, timeout=seconds))

    def names(self, fs: Any, path: str, seconds: float) -> list[str]:
        container, _, folder = path.partition("/")

        async def asked() -> list[str]:
            async with fs.service_client.get_container_client(container) as client:
                found = client.walk_blobs(name_starts_with=f"{folder}/" if folder else None, delimiter="/")
                return [one.name async for one in found if isinstance(one, BlobProperties)]

        found: list[str] = sync(fs.loop, asked, timeout=seconds)
        return [name.rpartition("/")[2] for name in found if not name.endswith("/")]

    def download(self, fs: Any, path: str, file: Path) -> None:
        fs.get_file(path, str(file))

    def meaning(self, error: Exception) -> Exception | None:
        told = (error.__cause__ or error.__context__) if isinstance(error, FileNotFoundError) else error
        if isinstance(told, azure.HttpResponseError) and _code(told) == "ContainerNotFound":
            return RefusedError("The container of the shared store does not exist.")
        if isinstance(error, FileNotFoundError):
            return None
        if isinstance(error, azure.ResourceNotFoundError):
            return FileNotFoundError(short(error))
        if isinstance(error, (azure.ServiceRequestTimeoutError, azure.ServiceResponseTimeoutError)):
            return AwayError("no answer in time")
        if isinstance(error, (azure.ServiceRequestError, azure.ServiceResponseError, azure.IncompleteReadError)):
            return AwayError(short(error))
        if isinstance(error, azure.HttpResponseError) and error.status_code in AWAY:
            return AwayError(short(error))
        if isinstance(error, azure.ClientAuthenticationError) and error.response is None:
            return RefusedError("There are no credentials for the shared store.")
        if isinstance(error, azure.HttpResponseError) and error.status_code in (401, 403):
            return RefusedError("The shared store does not let this user in.")
        if isinstance(error, (azure.AzureError, ValueError)):
            return RefusedError("The shared store cannot be used.")
        return None

    def _require_account(self) -> None:
        """Raise ConfigError if no account is named, or two of them are."""
        of_connection = connection_parts(os.environ.get(CONNECTION, "")).get("AccountName", "")
        if self._account and of_connection and self._account != of_connection:
            raise ConfigError(
                "The store's address names another account than the connection string.",
                where="PENSTOCK_STORE",
                found=f"{self._account}, and {of_connection} in {CONNECTION}",
                next_step=f"unset {CONNECTION}, or correct one of them",
            )
        if not (self._account or os.environ.get(ACCOUNT) or os.environ.get(CONNECTION)):
            raise ConfigError(
                "The store's address does not say which storage account it is of.",
                where="PENSTOCK_STORE",
                allowed="abfs://container@account.dfs.core.windows.net/prefix",
                next_step=f"write it so, or set {ACCOUNT} or {CONNECTION}",
            )


def _code(error: azure.HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")
