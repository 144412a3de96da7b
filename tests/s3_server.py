"""A server of S3 on a free loopback port: moto's, with one lock around whatever writes.

moto looks whether an object is there and then writes it, with nothing in between that would stop a second writer; S3
decides that in one step. The lock makes it one step here too. It is one process with many threads, so the lock is
enough; readers do not take it. Of the other servers that a package index or Debian has, Ceph's gateway and Swift are
clusters to set up, and s3rver knows no conditional writes. Buckets are kept in memory and end with the process.

Run as a module it serves until it is killed: `python -m tests.s3_server PORT`.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.loopback import free_port

BUCKET = "team"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "anna", "AWS_SECRET_ACCESS_KEY": "hunter2hunter2", "AWS_REGION": "us-east-1"}


def serve(port: int) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    inner = DomainDispatcherApplication(create_backend_app)
    writing = threading.Lock()

    def application(environ, start_response):
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return inner(environ, start_response)
        with writing:
            return list(inner(environ, start_response))

    run_simple("127.0.0.1", port, application, threaded=True)


@contextlib.contextmanager
def s3_server() -> Iterator[int]:
    """The port of a server that has a bucket."""
    port = free_port()
    command = [sys.executable, "-m", "tests.s3_server", str(port)]
    root = Path(__file__).resolve().parents[1]
    server = subprocess.Popen(
        command, cwd=root, env={**os.environ, **CREDENTIALS}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 60
        while not _made_bucket(port):
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the S3 server does not come up")
            time.sleep(0.1)
        yield port
    finally:
        server.kill()
        server.wait(30)


def _made_bucket(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("PUT", f"/{BUCKET}")
        return connection.getresponse().status == 200
    except OSError:
        return False


if __name__ == "__main__":
    serve(int(sys.argv[1]))
