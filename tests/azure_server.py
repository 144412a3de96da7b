"""A server of Azure's blobs on a free loopback port: Azurite, Microsoft's own emulator.

It decides between two writers by itself: of 20 that create a blob at once, one is let. It is told not to compare
versions of the API, since the client's is often newer, and not to send telemetry. Blobs are kept in memory.
"""

from __future__ import annotations

from pathlib import Path

CONTAINER = "team"
ACCOUNT = "devstoreaccount1"
# the emulator's own, written in its documentation
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
PROGRAM = Path(__file__).resolve().parents[1] / ".ci" / "tools" / "node_modules" / ".bin" / "azurite-blob"


def program() -> str:
    """Where Azurite is; "" if it is not installed."""
    return str(PROGRAM) if PROGRAM.is_file() else ""


def command(port: int) -> list[str]:
    quiet = ["--inMemoryPersistence", "--disableTelemetry", "--silent", "--skipApiVersionCheck"]
    return [program(), "--blobHost", "127.0.0.1", "--blobPort", str(port), *quiet]


def connection_string(port: int) -> str:
    address = f"http://127.0.0.1:{port}/{ACCOUNT}"
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={address};"


def make_container(port: int) -> None:
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(connection_string(port), retry_total=0) as client:
        client.create_container(CONTAINER)
