"""The services of objects that the tests have a server for: S3, Google Cloud Storage, Azure Blob Storage."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests import azure_server, s3_server
from tests.loopback import free_port

BUCKET = "team"  # each of the servers has it
SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "az"}
DVC = {"s3": "s3", "gcs": "gs", "azure": "azure"}


@dataclass(frozen=True)
class Cloud:
    """A service whose server listens on ``port``."""

    kind: str
    port: int

    def variables(self, port: int | None = None) -> dict[str, str]:
        """What tells a process where it is, or that it is behind another port."""
        address = f"http://127.0.0.1:{port or self.port}"
        if self.kind == "s3":
            return {**s3_server.CREDENTIALS, "AWS_ENDPOINT_URL": address}
        if self.kind == "gcs":
            return {"STORAGE_EMULATOR_HOST": address, "NO_GCE_CHECK": "true"}
        return {"AZURE_STORAGE_CONNECTION_STRING": azure_server.connection_string(port or self.port)}

    def url(self, folder: str, bucket: str = BUCKET) -> str:
        """A shared store's address."""
        return f"{SCHEMES[self.kind]}://{bucket}/{folder}"

    def dvc_url(self, folder: str, bucket: str = BUCKET) -> str:
        return f"{DVC[self.kind]}://{bucket}/{folder}"

    @property
    def secret(self) -> str:
        """What nobody may be shown; the emulator of Google's asks for nothing."""
        known = {"s3": s3_server.CREDENTIALS["AWS_SECRET_ACCESS_KEY"], "azure": azure_server.KEY}
        return known.get(self.kind, "hunter2hunter2")

    def filesystem(self) -> Any:
        """The library's own, to look at what is there and to spoil it."""
        fresh = {"use_listings_cache": False, "skip_instance_cache": True}
        # not by `fsspec.filesystem`: it would remember the class for the process, and others test that it is missing
        if self.kind == "s3":
            return import_module("s3fs").S3FileSystem(**fresh)
        if self.kind == "gcs":
            return import_module("gcsfs").GCSFileSystem(token="anon", **fresh)
        return import_module("adlfs").AzureBlobFileSystem(**fresh)


@contextlib.contextmanager
def gcs_server() -> Iterator[int]:
    for module in ("gcsfs", "gcp_storage_emulator"):
        pytest.importorskip(module, reason=f"{module} is not installed: no store on Google Cloud Storage was tried")
    port = free_port()
    with _running([sys.executable, "-m", "tests.gcs_server", str(port)], lambda: _answers(port)):
        yield port


@contextlib.contextmanager
def azurite() -> Iterator[int]:
    pytest.importorskip("adlfs", reason="adlfs is not installed: no store on Azure was tried")
    if not azure_server.program():
        pytest.skip("no Azurite here (npm ci --prefix .ci/tools --ignore-scripts): no store on Azure was tried")
    port = free_port()
    with _running(azure_server.command(port), lambda: _answers(port)):
        azure_server.make_container(port)
        yield port


@contextlib.contextmanager
def _running(command: list[str], ready: Callable[[], bool]) -> Iterator[None]:
    root = Path(__file__).resolve().parents[1]
    environment, quiet = {**os.environ, "PYTHONPATH": str(root)}, subprocess.DEVNULL
    server = subprocess.Popen(command, cwd=root, env=environment, stdout=quiet, stderr=quiet)
    try:
        end = time.monotonic() + 60
        while not ready():
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{' '.join(command)} does not come up")
            time.sleep(0.1)
        yield
    finally:
        server.kill()
        server.wait(30)


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        connection.getresponse()
    except OSError:
        return False
    return True
