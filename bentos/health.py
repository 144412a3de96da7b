"""Exits 0 when the server of this container is ready, 1 when it is not: what a container's health check runs.

    python -I -S health.py

Asks /readyz at the address that PENSTOCK_LISTEN names. The standard library only: it runs every few seconds.
"""

from __future__ import annotations

import http.client
import os
import sys

HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # who listens everywhere is asked here
SECONDS = 3.0


def ready(address: str) -> bool:
    """Whether the server at ``address`` (HOST:PORT) says that it is ready."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    connection = http.client.HTTPConnection(HERE.get(host, host), int(port), timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not ready(os.environ["PENSTOCK_LISTEN"]))
