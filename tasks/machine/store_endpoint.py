"""Where the service of a store's address is, as far as the environment says so and without secrets.

What is known here of a shared store is kept by its address and this: the same bucket's name at another server is
another store.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

OF_ACCOUNTS = ("az", "abfs", "abfss")  # Azure's: a container of a storage account

# what a program that is kept alive is told of it; secrets are in the environment of whoever started it
OPEN = (
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE",
    "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_UNIVERSE_DOMAIN",
    "CLOUDSDK_CONFIG", "NO_GCE_CHECK",
    "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CLIENT_ID", "AZURE_STORAGE_TENANT_ID", "AZURE_STORAGE_ANON",
    "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CONFIG_DIR",
)  # fmt: skip


def endpoint(url: str) -> str:
    """The server that ``url`` is of; "" for the one that its scheme says."""
    scheme = urlsplit(url).scheme
    if scheme in ("gs", "gcs"):
        return os.environ.get("STORAGE_EMULATOR_HOST", "")
    if scheme in OF_ACCOUNTS:
        parts = connection_parts(os.environ.get("AZURE_STORAGE_CONNECTION_STRING", ""))
        named = [parts[name] for name in ("AccountName", "BlobEndpoint", "EndpointSuffix") if name in parts]
        return " ".join(named) or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")


def connection_parts(text: str) -> dict[str, str]:
    """The parts of an Azure connection string: `AccountName=...;AccountKey=...;BlobEndpoint=...`, by name."""
    return {name: value for name, equals, value in (part.partition("=") for part in text.split(";")) if equals}
